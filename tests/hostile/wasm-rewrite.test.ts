import { suite } from "uvu";
import * as assert from "uvu/assert";
import { InstanceStateError } from "../../bindings/guests/wasm/instance-state.ts";
import { decodeInstanceState } from "../../bindings/guests/wasm/instance-state-format.ts";
import { WasmModuleError, type WasmModuleErrorCode } from "../../bindings/guests/wasm/module/errors.ts";
import { describeModule, type ModuleLayout } from "../../bindings/guests/wasm/module/layout.ts";
import { rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import * as asm from "../wasm/assembler.ts";
import { programBytes } from "../wasm/programs.ts";

const test = suite("hostile wasm modules");

function refused(bytes: Uint8Array, code: WasmModuleErrorCode, message: RegExp): void {
	try {
		rewriteModule(bytes);
	} catch (error) {
		assert.instance(error, WasmModuleError, `${error}`);
		const refusal = error as WasmModuleError;
		assert.is(refusal.code, code, refusal.message);
		assert.match(refusal.message, message);
		assert.ok(refusal.offset <= bytes.length, `${refusal.offset} is outside ${bytes.length} bytes`);
		return;
	}
	throw new Error(`not refused: ${message}`);
}

const HUGE = [0xff, 0xff, 0xff, 0xff, 0x0f];

test("every truncation of a module is refused", () => {
	const bytes = asm.wasm(
		asm.custom("first", [1, 2]),
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32], [asm.I64])),
		asm.section(asm.SECTION_IMPORT, [...asm.text("env"), ...asm.text("f"), 0, 0]),
		asm.section(asm.SECTION_FUNCTION, [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 1, 1, 4]),
		asm.MEMORY,
		asm.section(asm.SECTION_GLOBAL, [asm.F64, 1, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b]),
		asm.section(asm.SECTION_EXPORT, asm.exported("e", 0, 1)),
		asm.section(asm.SECTION_ELEMENT, [0, ...asm.constant(0), 0x0b, ...asm.vector([1])]),
		asm.section(asm.SECTION_CODE, asm.body([0x42, 0], [[1, asm.V128]])),
		asm.section(asm.SECTION_DATA, [0, ...asm.constant(0), 0x0b, ...asm.vector([1], [2])]),
	);
	rewriteModule(bytes);
	assert.ok(WebAssembly.validate(bytes));
	for (let length = 0; length < bytes.length; length++) {
		const cut = bytes.subarray(0, length);
		// Cut between two sections it may still be a module, but then its engine must agree.
		try {
			rewriteModule(cut);
			assert.ok(WebAssembly.validate(cut), `${length} bytes`);
		} catch (error) {
			assert.instance(error, WasmModuleError, `${length} bytes: ${error}`);
		}
	}
});

test("wild counts are refused before anything is read or allocated for them", () => {
	for (const id of [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13]) {
		refused(asm.wasm(asm.rawSection(id, HUGE)), "limit", /4294967295 entries in section/);
		refused(asm.wasm(asm.rawSection(id, asm.unsigned(999_999))), "malformed", /999999 entries.* do not fit/);
	}
	const name = asm.section(asm.SECTION_EXPORT, [...HUGE, 0, 0]);
	refused(asm.wasm(name), "limit", /bytes in a name/);
	refused(asm.wasm(asm.section(1, [0x60, ...HUGE])), "limit", /values in a function type/);
	refused(asm.wasm(asm.section(1, [0x4e, ...HUGE])), "limit", /types in a group/);
	refused(asm.wasm(asm.section(9, [1, 0, ...HUGE])), "limit", /elements/);
	refused(asm.wasm(asm.section(10, HUGE)), "limit", /bytes in a function body/);
	refused(asm.wasm(asm.section(11, [1, ...HUGE])), "malformed", /ends too early/);
	refused(asm.wasm([10, ...HUGE]), "malformed", /ends too early/);
});

const withBody = (...content: number[]): Uint8Array => withLongBody(content);

function withLongBody(content: asm.Bytes): Uint8Array {
	return asm.wasm(
		asm.section(1, asm.functionType()),
		asm.section(3, [0]),
		asm.MEMORY,
		asm.section(10, [...asm.unsigned(content.length), ...content]),
	);
}

test("wild counts inside functions are refused", () => {
	refused(withBody(...HUGE, 0x0b), "limit", /local declarations/);
	refused(withBody(1, ...HUGE, asm.I32, 0x0b), "malformed", /more than 50000 locals/);
	refused(withBody(0, 0x0e, ...HUGE, 0, 0x0b), "limit", /branch labels/);
	refused(withBody(0, 0x1c, ...HUGE, 0x0b), "limit", /types/);
	refused(withBody(0, 0x1f, 0x40, ...HUGE, 0x0b), "limit", /catch clauses/);
});

test("numbers that are too long or too large are refused", () => {
	refused(asm.wasm([3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), "malformed", /too large/);
	refused(asm.wasm([3, 0x80, 0x80, 0x80, 0x80, 0x10]), "malformed", /too large/);
	refused(withBody(0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x0b), "malformed", /too long/);
	refused(withBody(0, 0x02, 0x80, 0x80, 0x80, 0x80, 0x20, 0x0b, 0x0b), "malformed", /too large/);
	refused(withBody(0, 0x02, 0x80, 0x80, 0x80, 0x80, 0x80, 0x0b, 0x0b), "malformed", /too l/);
	refused(withBody(0, 0x28, 0x05, 0, 0x0b), "malformed", /alignment/);
});

test("sections out of order, repeated, unknown or longer than their content are refused", () => {
	refused(asm.wasm(asm.MEMORY, asm.section(4, [asm.FUNCREF, 0, 1])), "malformed", /out of order/);
	refused(asm.wasm(asm.MEMORY, asm.MEMORY), "malformed", /repeated/);
	refused(asm.wasm(asm.rawSection(14, [0])), "malformed", /section 14/);
	refused(asm.wasm(asm.rawSection(5, [1, 0, 1, 7])), "malformed", /longer than its content/);
	refused(Uint8Array.of(0, 0x61, 0x73, 0x6e, 1, 0, 0, 0), "malformed", /asm/);
	refused(Uint8Array.of(0, 0x61, 0x73, 0x6d, 2, 0, 0, 0), "malformed", /version/);
	refused(new Uint8Array(0), "malformed", /asm/);
});

test("indices that do not exist are refused", () => {
	refused(asm.wasm(asm.section(3, [0])), "malformed", /differ/);
	refused(asm.wasm(asm.section(3, [5]), asm.section(10, asm.body([]))), "malformed", /type 5/);
	refused(asm.wasm(asm.MEMORY, asm.section(7, asm.exported("x", 0, 9))), "malformed", /"x" names function 9/);
	refused(asm.wasm(asm.MEMORY, asm.rawSection(8, [3])), "malformed", /start function 3/);
	refused(asm.wasm(asm.MEMORY, asm.section(9, [3, 0, 1, 7])), "malformed", /function 7/);
	refused(asm.wasm(asm.MEMORY, asm.rawSection(12, [1])), "malformed", /data segments differs/);
	refused(withBody(0, 0xd2, 8, 0x0b), "malformed", /function 8/);
	refused(withBody(0, 0xfc, 9, 8, 0x0b), "malformed", /data segment 8/);
	refused(asm.wasm(asm.section(6, [asm.I32, 0, 0x02, 0x40, 0x0b, 0x0b])), "malformed", /constant expression/);
	refused(asm.wasm(asm.section(6, [asm.I32, 2, ...asm.constant(0), 0x0b])), "unsupported", /global of kind 2/);
	refused(asm.wasm(asm.section(7, [1, 0xff, 0, 0])), "malformed", /UTF-8/);
	refused(asm.wasm(asm.section(5, [1, 3, 2])), "malformed", /below its minimum/);
	refused(asm.wasm(asm.section(5, [0, ...HUGE])), "limit", /over the limit of 65536/);
});

test("a body nested as deep as it is long takes no stack", () => {
	const opened = new Array(100_000).fill([0x02, 0x40]).flat();
	const closed = new Array(100_000).fill(0x0b);
	describeModule(withLongBody([0, ...opened, ...closed, 0x0b]));
	refused(withLongBody([0, ...opened]), "malformed", /ends too early/);
});

const layout: ModuleLayout = describeModule(programBytes("lua"));

function stateRefused(code: string, message: RegExp, ...bytes: number[]): void {
	try {
		decodeInstanceState(Uint8Array.from(bytes), layout);
	} catch (error) {
		assert.instance(error, InstanceStateError, `${error}`);
		assert.is((error as InstanceStateError).code, code);
		assert.match((error as InstanceStateError).message, message);
		return;
	}
	throw new Error(`not refused: ${message}`);
}

test("damaged instance state is refused, and nothing is allocated beyond the module's own tables", () => {
	const globals = [...asm.unsigned(layout.globals.length), ...new Array(4 * layout.globals.length).fill(0)];
	stateRefused("malformed", /damaged/);
	stateRefused("malformed", /version 2/, 2);
	stateRefused("mismatch", /has 9 globals/, 1, 9);
	stateRefused("malformed", /damaged/, 1, ...globals.slice(0, 5));
	stateRefused("mismatch", /2 tables/, 1, ...globals, 2);
	stateRefused("mismatch", /table 0 has 4294967295 entries/, 1, ...globals, 1, ...HUGE);
	const length = layout.tables[0]!.minimumLength;
	const table = [1, ...globals, 1, ...asm.unsigned(length)];
	stateRefused("malformed", /run of 0 entries at slot 0/, ...table, 1, 0);
	stateRefused("malformed", /run of 4294967295/, ...table, 1, ...HUGE);
	stateRefused("mismatch", /function 4294967293/, ...table, ...HUGE);
	stateRefused("mismatch", /1 dropped segments/, ...table, 1, ...asm.unsigned(length), 1, 0);
	stateRefused("malformed", /3 bytes too many/, ...table, 1, ...asm.unsigned(length), 0, 0, 7, 7, 7);
});

test.run();
