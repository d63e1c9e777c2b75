import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmModuleError, type WasmModuleErrorCode } from "../../bindings/guests/wasm/module/errors.ts";
import { EXPOSED } from "../../bindings/guests/wasm/module/expose.ts";
import { describeModule } from "../../bindings/guests/wasm/module/layout.ts";
import { type RewriteOptions, rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import * as asm from "../wasm/assembler.ts";

const test = suite("wasm rewriting");

function instantiate(bytes: Uint8Array, imports: WebAssembly.Imports = {}): WebAssembly.Instance {
	return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), imports);
}

function refusal(bytes: Uint8Array, options: RewriteOptions = {}): WasmModuleError {
	try {
		rewriteModule(bytes, options);
	} catch (error) {
		if (error instanceof WasmModuleError) return error;
		throw error;
	}
	throw new Error("the module was not refused");
}

function refused(bytes: Uint8Array, code: WasmModuleErrorCode, message: RegExp, options: RewriteOptions = {}): void {
	const error = refusal(bytes, options);
	assert.is(error.code, code, error.message);
	assert.match(error.message, message);
}

/** One function `() -> ()` with this code, and a memory. */
function codeModule(code: asm.Bytes): Uint8Array {
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0]),
		asm.MEMORY,
		asm.section(asm.SECTION_CODE, asm.body(code)),
	);
}

test("memory, tables and mutable globals are exported under reserved names and keep their indices", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 2]),
		asm.MEMORY,
		asm.section(
			asm.SECTION_GLOBAL,
			[asm.I32, 0, ...asm.constant(7), 0x0b],
			[asm.I32, 1, ...asm.constant(42), 0x0b],
			[asm.I64, 1, 0x42, 5, 0x0b],
		),
		asm.section(asm.SECTION_EXPORT, asm.exported("mine", 3, 1)),
	);
	const { bytes, layout } = rewriteModule(original);
	const { exports } = instantiate(bytes);
	assert.ok(exports[EXPOSED.memory] instanceof WebAssembly.Memory);
	assert.ok(exports[EXPOSED.table(0)] instanceof WebAssembly.Table);
	(exports.mine as WebAssembly.Global).value = 43;
	assert.is((exports[EXPOSED.global(1)] as WebAssembly.Global).value, 43);
	assert.is((exports[EXPOSED.global(2)] as WebAssembly.Global).value, 5n);
	assert.is(exports[EXPOSED.global(0)], undefined, "an immutable global is no state");
	assert.equal(layout.globals, [
		{ index: 1, type: "i32", imported: null },
		{ index: 2, type: "i64", imported: null },
	]);
	assert.equal(layout.memory, { minimumPages: 1, maximumPages: 4, imported: null });
	assert.equal(layout.tables, [{ index: 0, type: "funcref", minimumLength: 2, maximumLength: null, imported: null }]);
});

test("every function that a reference can name is reachable by identity, exported or not", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([], [asm.I32])),
		asm.section(asm.SECTION_IMPORT, [...asm.text("host"), ...asm.text("call"), 0, 0]),
		asm.section(asm.SECTION_FUNCTION, [0], [0], [0], [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 3]),
		asm.MEMORY,
		asm.section(asm.SECTION_EXPORT, asm.exported("three", 0, 3), asm.exported("table", 1, 0)),
		asm.section(
			asm.SECTION_ELEMENT,
			[0, ...asm.constant(0), 0x0b, ...asm.vector([1], [0])],
			[3, 0, ...asm.vector([2])],
		),
		asm.section(
			asm.SECTION_CODE,
			asm.body(asm.constant(1)),
			asm.body([0xd2, 2, 0x1a, ...asm.constant(2)]),
			asm.body(asm.constant(3)),
			asm.body(asm.constant(4)),
		),
	);
	const { bytes, layout } = rewriteModule(original);
	assert.equal(layout.reachableFunctions, [0, 1, 2, 3]);
	const { exports } = instantiate(bytes, { host: { call: () => 9 } });
	const functions = exports[EXPOSED.functions] as WebAssembly.Table;
	const table = exports.table as WebAssembly.Table;
	assert.is(functions.length, 4);
	assert.is(table.get(0), functions.get(1));
	assert.is(table.get(1), functions.get(0));
	assert.is(exports.three, functions.get(3));
	assert.equal(
		[0, 1, 2, 3].map((slot) => functions.get(slot)()),
		[9, 1, 2, 3],
	);
});

test("functions named only by constant expressions are reachable", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0], [0], [0], [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.MEMORY,
		asm.section(asm.SECTION_GLOBAL, [asm.FUNCREF, 0, 0xd2, 1, 0x0b]),
		asm.section(asm.SECTION_ELEMENT, [5, asm.FUNCREF, ...asm.vector([0xd2, 3, 0x0b], [0xd0, 0x70, 0x0b])]),
		asm.section(asm.SECTION_CODE, asm.body([]), asm.body([]), asm.body([]), asm.body([])),
	);
	assert.ok(WebAssembly.validate(original));
	assert.equal(rewriteModule(original).layout.reachableFunctions, [1, 3]);
});

test("a segment that instantiation drops anyway is no state", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.MEMORY,
		asm.section(asm.SECTION_ELEMENT, [3, 0, ...asm.vector([0])]),
		asm.rawSection(asm.SECTION_DATA_COUNT, [1]),
		asm.section(asm.SECTION_CODE, asm.body([0xfc, 9, 0, 0xfc, 13, 0])),
		asm.section(asm.SECTION_DATA, [0, ...asm.constant(0), 0x0b, ...asm.vector([1])]),
	);
	const { bytes, layout } = rewriteModule(original);
	assert.equal([layout.droppableData, layout.droppableElements], [[], []]);
	instantiate(bytes);
});

test("a segment that code can drop gets a flag, set where it is dropped, and a function that drops it", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0], [0], [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.MEMORY,
		asm.section(
			asm.SECTION_EXPORT,
			asm.exported("dropData", 0, 0),
			asm.exported("dropElements", 0, 1),
			asm.exported("use", 0, 2),
		),
		asm.section(asm.SECTION_ELEMENT, [1, 0, ...asm.vector([0])]),
		asm.rawSection(asm.SECTION_DATA_COUNT, [3]),
		asm.section(
			asm.SECTION_CODE,
			asm.body([0xfc, 9, 1]),
			asm.body([0xfc, 13, 0]),
			asm.body([...asm.constant(0), ...asm.constant(0), ...asm.constant(2), 0xfc, 8, 1, 0]),
		),
		asm.section(
			asm.SECTION_DATA,
			[0, ...asm.constant(0), 0x0b, ...asm.vector([1])],
			[1, ...asm.vector([5], [6])],
			[1, ...asm.vector([7])],
		),
	);
	const { bytes, layout } = rewriteModule(original);
	assert.equal([layout.droppableData, layout.droppableElements], [[1], [0]]);
	const flag = (exports: WebAssembly.Exports, kind: "data" | "elements", index: number) =>
		(exports[EXPOSED.dropped(kind, index)] as WebAssembly.Global).value;
	const call = (exports: WebAssembly.Exports, name: string) => (exports[name] as CallableFunction)();

	const first = instantiate(bytes).exports;
	assert.equal([flag(first, "data", 1), flag(first, "elements", 0)], [0, 0]);
	call(first, "use");
	call(first, "dropData");
	assert.equal([flag(first, "data", 1), flag(first, "elements", 0)], [1, 0]);
	call(first, "dropElements");
	assert.is(flag(first, "elements", 0), 1);
	assert.throws(() => call(first, "use"), /bounds|segment/);

	const second = instantiate(bytes).exports;
	call(second, EXPOSED.drop("data", 1));
	assert.is(flag(second, "data", 1), 1);
	assert.throws(() => call(second, "use"), /bounds|segment/);
});

test("floats and vectors are read and written as raw bits", () => {
	const original = asm.wasm(
		asm.MEMORY,
		asm.section(
			asm.SECTION_GLOBAL,
			[asm.F32, 1, 0x43, 1, 0, 0xa0, 0x7f, 0x0b],
			[asm.F64, 1, 0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0x7f, 0x0b],
			[asm.V128, 1, 0xfd, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x0b],
		),
	);
	const { exports } = instantiate(rewriteModule(original).bytes);
	const call = (name: string, ...values: (number | bigint)[]) => (exports[name] as CallableFunction)(...values);
	assert.is(call(EXPOSED.readBits(0)), 0x7fa00001, "a signalling NaN with its payload");
	assert.is(call(EXPOSED.readBits(1)), 0x7ff4000000000001n);
	assert.is(call(EXPOSED.readBits(2, "low")), 0x0807060504030201n);
	assert.is(call(EXPOSED.readBits(2, "high")), 0x100f0e0d0c0b0a09n);
	call(EXPOSED.writeBits(0), 0x7fa00002);
	call(EXPOSED.writeBits(1), -0x8000000000000000n);
	call(EXPOSED.writeBits(2), 17n, -1n);
	assert.is(call(EXPOSED.readBits(0)), 0x7fa00002);
	assert.is(call(EXPOSED.readBits(1)), -0x8000000000000000n);
	assert.equal([call(EXPOSED.readBits(2, "low")), call(EXPOSED.readBits(2, "high"))], [17n, -1n]);
});

test("imported memory, tables and mutable globals are state too", () => {
	const original = asm.wasm(
		asm.section(
			asm.SECTION_IMPORT,
			[...asm.text("env"), ...asm.text("memory"), 2, 1, 1, 8],
			[...asm.text("env"), ...asm.text("table"), 1, asm.FUNCREF, 0, 1],
			[...asm.text("env"), ...asm.text("stack"), 3, asm.I32, 1],
			[...asm.text("env"), ...asm.text("base"), 3, asm.I32, 0],
		),
	);
	const { bytes, layout } = rewriteModule(original, { minimumMemoryPages: 3 });
	assert.equal(layout.memory, { minimumPages: 1, maximumPages: 8, imported: { module: "env", name: "memory" } });
	assert.equal(layout.globals, [{ index: 0, type: "i32", imported: { module: "env", name: "stack" } }]);
	const table = new WebAssembly.Table({ element: "anyfunc", initial: 1 });
	const stack = new WebAssembly.Global({ value: "i32", mutable: true }, 5);
	const env = (pages: number) => ({
		env: { memory: new WebAssembly.Memory({ initial: pages, maximum: 8 }), table, stack, base: 0 },
	});
	const { exports } = instantiate(bytes, env(3));
	assert.is(exports[EXPOSED.table(0)], table);
	assert.is(exports[EXPOSED.global(0)], stack);
	assert.throws(() => instantiate(bytes, env(2)), WebAssembly.LinkError);
});

test("the memory's minimum is raised, never lowered, and not beyond the module's maximum", () => {
	const original = asm.wasm(asm.section(asm.SECTION_MEMORY, [1, 2, 4]));
	const pages = (minimumMemoryPages: number) => {
		const memory = instantiate(rewriteModule(original, { minimumMemoryPages }).bytes).exports[EXPOSED.memory];
		return (memory as WebAssembly.Memory).buffer.byteLength / 65536;
	};
	assert.equal([pages(1), pages(2), pages(4)], [2, 2, 4]);
	refused(original, "memory-limit", /5 pages .* allows 4/, { minimumMemoryPages: 5 });
	for (const minimumMemoryPages of [-1, 1.5, 65_537, Number.NaN])
		assert.throws(
			() => rewriteModule(original, { minimumMemoryPages }),
			(error: unknown) => error instanceof RangeError,
		);
});

test("the start function runs unless it is left out", () => {
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0]),
		asm.MEMORY,
		asm.section(asm.SECTION_GLOBAL, [asm.I32, 1, ...asm.constant(0), 0x0b]),
		asm.rawSection(asm.SECTION_START, [0]),
		asm.section(asm.SECTION_CODE, asm.body([...asm.constant(1), 0x24, 0])),
	);
	const started = (options: RewriteOptions) => {
		const { bytes, layout } = rewriteModule(original, options);
		assert.is(layout.startFunction, 0);
		return (instantiate(bytes).exports[EXPOSED.global(0)] as WebAssembly.Global).value;
	};
	assert.equal([started({}), started({ dropStart: true })], [1, 0]);
});

test("custom sections stay, leading ones first", () => {
	const original = asm.wasm(
		asm.custom("dylink.0", [1]),
		asm.MEMORY,
		asm.custom("middle", [2, 3]),
		asm.custom("name", [4]),
	);
	const { bytes } = rewriteModule(original);
	const module = new WebAssembly.Module(Uint8Array.from(bytes));
	assert.is(WebAssembly.Module.customSections(module, "middle").length, 1);
	assert.is(bytes[8], 0, "a custom section stands first");
	assert.equal([...new Uint8Array(WebAssembly.Module.customSections(module, "dylink.0")[0]!)], [1]);
	assert.equal([...new Uint8Array(WebAssembly.Module.customSections(module, "name")[0]!)], [4]);
});

test("describing a module gives the layout that rewriting gives, and leaves the bytes alone", () => {
	const original = codeModule([]);
	const copy = original.slice();
	assert.equal(describeModule(original), rewriteModule(original).layout);
	assert.equal(original, copy);
});

test("a rewritten module, and any use of the reserved prefix, is refused", () => {
	refused(rewriteModule(codeModule([])).bytes, "reserved-name", /original module/);
	const importing = asm.wasm(
		asm.section(asm.SECTION_IMPORT, [...asm.text("pageferry:x"), ...asm.text("memory"), 2, 0, 1]),
	);
	refused(importing, "reserved-name", /pageferry:x/);
});

test("memories that cannot be moved from here are refused by name", () => {
	refused(asm.wasm(), "no-memory", /no memory/);
	refused(asm.wasm(asm.section(5, [0, 1], [0, 1])), "multiple-memories", /2 memories/);
	refused(asm.wasm(asm.section(5, [3, 1, 1])), "shared-memory", /without threads/);
	refused(asm.wasm(asm.section(5, [4, 1])), "memory64", /wasm32/);
	refused(asm.wasm(asm.section(5, [8, 1, 16])), "unsupported", /limits of kind 8/);
	refused(asm.wasm(asm.section(4, [asm.FUNCREF, 4, 1]), asm.MEMORY), "memory64", /table/);
	const imported = asm.section(asm.SECTION_IMPORT, [...asm.text("env"), ...asm.text("m"), 2, 3, 1, 1]);
	refused(asm.wasm(imported), "shared-memory", /threads/);
});

test("components, collected objects and exception references are refused by name", () => {
	const component = Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
	refused(component, "component", /core module/);
	refused(asm.wasm(asm.section(1, [0x5f, 0]), asm.MEMORY), "garbage-collection", /struct/);
	refused(asm.wasm(asm.section(1, [0x4e, 1, 0x5e, asm.I32, 0]), asm.MEMORY), "garbage-collection", /array/);
	refused(asm.wasm(asm.section(4, [0x6e, 0, 1]), asm.MEMORY), "garbage-collection", /anyref/);
	refused(codeModule([0xfb, 28, 0x1a]), "garbage-collection", /ref\.i31/);
	refused(asm.wasm(asm.section(4, [0x69, 0, 1]), asm.MEMORY), "exception-reference", /table 0 .*exnref/);
	const global = asm.section(6, [0x69, 1, 0xd0, 0x69, 0x0b]);
	refused(asm.wasm(asm.MEMORY, global), "exception-reference", /global 0/);
});

test("unknown instructions are refused by number and place", () => {
	refused(codeModule([0x01, 0x16]), "unknown-opcode", /instruction 0x16:.*at byte \d+ /);
	refused(codeModule([0xfc, 18]), "unknown-opcode", /0xfc 18/);
	refused(codeModule([0xfd, 0x9a, 0x01]), "unknown-opcode", /0xfd 154/);
	refused(codeModule([0xfe, 0x80, 0x40]), "unknown-opcode", /0xfe 8192/);
	refused(codeModule([0xff]), "unknown-opcode", /0xff/);
	refused(codeModule([0x27]), "unknown-opcode", /0x27/);
});

test("typed function references are read, their tables are state", () => {
	const original = asm.wasm(
		asm.section(1, [0x4e, 1, 0x50, 0, ...asm.functionType([asm.I32])], [0x60, 1, 0x63, 0, 0]),
		asm.section(4, [0x63, 0, 0, 1], [0x64, 0x70, 0, 0]),
		asm.MEMORY,
	);
	const layout = describeModule(original);
	assert.equal(
		layout.tables.map(({ type }) => type),
		["(ref null 0)", "(ref func)"],
	);
});

test.run();
