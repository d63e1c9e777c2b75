import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	captureInstance,
	FOREIGN_ENTRY,
	type InstanceState,
	InstanceStateError,
	type InstanceStateErrorCode,
	NULL_ENTRY,
	prepareInstance,
	restoreInstance,
} from "../../bindings/guests/wasm/instance-state.ts";
import { decodeInstanceState, encodeInstanceState } from "../../bindings/guests/wasm/instance-state-format.ts";
import { type RewrittenModule, rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import * as asm from "../wasm/assembler.ts";

const test = suite("wasm instance state");

/**
 * Two tables (function references, 3 to 8 entries; host references), globals of every type, two functions in a segment,
 * and a passive data segment that `drop` drops.
 */
const guest: RewrittenModule = rewriteModule(
	asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([], [asm.I32]), asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0], [0], [1]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 1, 3, 8], [asm.EXTERNREF, 0, 1]),
		asm.MEMORY,
		asm.section(
			asm.SECTION_GLOBAL,
			[asm.I32, 1, ...asm.constant(-5), 0x0b],
			[asm.I64, 1, 0x42, 0x7b, 0x0b],
			[asm.F32, 1, 0x43, 1, 0, 0xa0, 0x7f, 0x0b],
			[asm.F64, 1, 0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0xff, 0x0b],
			[asm.V128, 1, 0xfd, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff, 0x0b],
			[asm.FUNCREF, 1, 0xd2, 1, 0x0b],
			[asm.EXTERNREF, 1, 0xd0, 0x6f, 0x0b],
		),
		asm.section(
			asm.SECTION_EXPORT,
			asm.exported("functions", 1, 0),
			asm.exported("objects", 1, 1),
			asm.exported("reference", 3, 5),
			asm.exported("object", 3, 6),
			asm.exported("number", 3, 0),
			asm.exported("drop", 0, 2),
		),
		asm.section(asm.SECTION_ELEMENT, [0, ...asm.constant(0), 0x0b, ...asm.vector([0], [1])]),
		asm.rawSection(asm.SECTION_DATA_COUNT, [1]),
		asm.section(asm.SECTION_CODE, asm.body(asm.constant(10)), asm.body(asm.constant(11)), asm.body([0xfc, 9, 0])),
		asm.section(asm.SECTION_DATA, [1, ...asm.vector([5])]),
	),
);
const { layout } = guest;
const compiled = new WebAssembly.Module(Uint8Array.from(guest.bytes));

interface GuestExports {
	readonly all: WebAssembly.Exports;
	readonly functions: WebAssembly.Table;
	readonly objects: WebAssembly.Table;
	readonly reference: WebAssembly.Global;
	readonly object: WebAssembly.Global;
	readonly number: WebAssembly.Global;
	readonly drop: () => void;
}

function create(): GuestExports {
	const { exports } = new WebAssembly.Instance(compiled);
	return { ...(exports as unknown as Omit<GuestExports, "all">), all: exports };
}

/** A function of another instance: as foreign as JavaScript's own, which engines take into tables only when wrapped. */
function foreign(): CallableFunction {
	return create().functions.get(0);
}

function throwsState(action: () => unknown, code: InstanceStateErrorCode, message: RegExp): void {
	try {
		action();
	} catch (error) {
		assert.instance(error, InstanceStateError);
		assert.is((error as InstanceStateError).code, code);
		assert.match((error as InstanceStateError).message, message);
		return;
	}
	throw new Error(`expected ${code}`);
}

function throughBytes(state: InstanceState): InstanceState {
	return decodeInstanceState(encodeInstanceState(state), layout);
}

test("a fresh instance's state is what the module says, floats bit by bit", () => {
	const state = captureInstance(create().all, layout);
	assert.equal(state.globals, [
		{ type: "i32", bits: -5 },
		{ type: "i64", bits: -5n },
		{ type: "f32", bits: 0x7fa00001 },
		{ type: "f64", bits: BigInt.asIntN(64, 0xfff4000000000001n) },
		{ type: "v128", low: 0x0807060504030201n, high: BigInt.asIntN(64, 0xff0f0e0d0c0b0a09n) },
		{ type: "reference", entry: 1 },
		{ type: "reference", entry: NULL_ENTRY },
	]);
	assert.equal(
		state.tables.map((entries) => [...entries]),
		[[0, 1, NULL_ENTRY], [NULL_ENTRY]],
	);
	assert.equal([state.droppedData, state.droppedElements], [[], []]);
});

test("everything changed at the source is there at the target, through bytes", () => {
	const source = create();
	source.number.value = 77;
	source.reference.value = source.functions.get(0);
	source.functions.set(0, source.functions.get(1));
	source.functions.set(1, null);
	source.functions.grow(2);
	source.functions.set(4, source.drop);
	source.drop();
	const state = captureInstance(source.all, layout);
	assert.equal([...state.tables[0]!], [1, NULL_ENTRY, NULL_ENTRY, NULL_ENTRY, 2]);
	assert.equal(state.droppedData, [0]);

	const target = create();
	restoreInstance(target.all, layout, throughBytes(state));
	assert.equal(captureInstance(target.all, layout), state);
	assert.is(target.functions.length, 5);
	assert.is(target.functions.get(0)(), 11);
	assert.is(target.functions.get(4), target.drop);
	assert.is(target.reference.value(), 10);
});

test("a function of another instance is foreign although it carries the same number", () => {
	const source = create();
	const other = foreign();
	assert.is(other.name, source.functions.get(0).name);
	source.functions.set(2, other);
	source.reference.value = other;
	const state = captureInstance(source.all, layout);
	assert.is(state.tables[0]![2], FOREIGN_ENTRY);
	assert.equal(state.globals[5], { type: "reference", entry: FOREIGN_ENTRY });
});

test("a foreign entry meets the foreign function that the target's host has put in the same place", () => {
	const source = create();
	source.functions.set(1, foreign());
	const state = throughBytes(captureInstance(source.all, layout));
	const target = create();
	const kept = foreign();
	target.functions.set(1, kept);
	restoreInstance(target.all, layout, state);
	assert.is(target.functions.get(1), kept);
});

test("without a foreign function the restore is refused by table and slot, and nothing is changed", () => {
	const source = create();
	source.number.value = 99;
	source.functions.grow(1);
	source.functions.set(1, foreign());
	const state = captureInstance(source.all, layout);
	const target = create();
	const before = captureInstance(target.all, layout);
	throwsState(() => restoreInstance(target.all, layout, state), "foreign-entry", /slot 1 of table 0.*foreignEntry/);
	assert.equal(captureInstance(target.all, layout), before);
});

test("a hook supplies foreign functions, and is told off for what no table takes", () => {
	const source = create();
	source.functions.grow(2);
	source.functions.set(4, foreign());
	source.reference.value = foreign();
	const state = captureInstance(source.all, layout);
	const target = create();
	const supplied = foreign();
	const asked: (readonly number[])[] = [];
	const foreignEntry = (table: number, slot: number) => {
		asked.push([table, slot]);
		return supplied;
	};
	restoreInstance(target.all, layout, state, { foreignEntry });
	assert.equal(asked.sort(), [
		[-1, 5],
		[0, 4],
	]);
	assert.is(target.functions.get(4), supplied);
	assert.is(target.reference.value, supplied);
	const useless = { foreignEntry: () => () => 1 };
	throwsState(() => restoreInstance(create().all, layout, state, useless), "foreign-entry", /global 5|slot 4/);
	throwsState(
		() => restoreInstance(create().all, layout, state, { foreignEntry: () => null }),
		"foreign-entry",
		/host/,
	);
});

test("host objects in tables and globals are refused by place", () => {
	const withObject = create();
	withObject.objects.set(0, { some: "object" });
	throwsState(() => captureInstance(withObject.all, layout), "host-reference", /slot 0 of table 1 \(externref\)/);
	const withGlobal = create();
	withGlobal.object.value = "text";
	throwsState(() => captureInstance(withGlobal.all, layout), "host-reference", /global 6 \(externref\)/);
});

test("a table that the target's host has grown further is refused", () => {
	const state = captureInstance(create().all, layout);
	const target = create();
	target.functions.grow(1);
	throwsState(() => restoreInstance(target.all, layout, state), "table-length", /table 0 had 3 entries .* has 4/);
	const long = { ...state, tables: [new Int32Array(9).fill(NULL_ENTRY), state.tables[1]!] };
	throwsState(() => restoreInstance(create().all, layout, long), "table-length", /maximum 8/);
});

test("state of another module is refused", () => {
	const state = captureInstance(create().all, layout);
	const restore = (changed: Partial<InstanceState>) => restoreInstance(create().all, layout, { ...state, ...changed });
	throwsState(() => restore({ globals: state.globals.slice(1) }), "mismatch", /not those of this module/);
	throwsState(() => restore({ globals: state.globals.toReversed() }), "mismatch", /not those of this module/);
	throwsState(() => restore({ tables: [] }), "mismatch", /not those of this module/);
	throwsState(() => restore({ droppedData: [1] }), "mismatch", /not those of this module/);
	const strange = [Int32Array.of(0, 1, 3), state.tables[1]!];
	throwsState(() => restore({ tables: strange }), "mismatch", /function 3/);
});

test("an instance of the original module is refused with what to do", () => {
	const plain = new WebAssembly.Instance(new WebAssembly.Module(asm.wasm(asm.MEMORY)));
	throwsState(() => captureInstance(plain.exports, layout), "not-exposed", /rewriteModule/);
	throwsState(() => prepareInstance(plain.exports, layout), "not-exposed", /pageferry:functions/);
});

test("runs of null and foreign entries come back", () => {
	const entries = new Int32Array(8).fill(NULL_ENTRY);
	entries[3] = FOREIGN_ENTRY;
	const state = { ...captureInstance(create().all, layout), tables: [entries, Int32Array.of(NULL_ENTRY)] };
	assert.equal(throughBytes(state), state);
});

test.run();
