// How often watched code looks pages up: once where it must, not at all where an earlier look on every path tells.
// That no needed look is missing is also what random programs test (property/wasm-watch).
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readLocals } from "../../bindings/guests/wasm/module/code.ts";
import { InstructionCursor } from "../../bindings/guests/wasm/module/cursor.ts";
import { decodeModule } from "../../bindings/guests/wasm/module/decode.ts";
import { opcodeOf } from "../../bindings/guests/wasm/module/opcodes.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import * as asm from "../wasm/assembler.ts";

const test = suite("looks at pages in watched code");

/** Function 0, imported, `(i32) -> i32`; functions 1 and 2 are the code, with four i32 locals. */
function moduleOf(code: asm.Bytes): Uint8Array<ArrayBuffer> {
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32], [asm.I32]), asm.functionType()),
		asm.section(asm.SECTION_IMPORT, [...asm.text("h"), ...asm.text("h"), 0, 0]),
		asm.section(asm.SECTION_FUNCTION, [1], [1]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.MEMORY,
		asm.section(asm.SECTION_TAG, [0, 1]),
		asm.section(asm.SECTION_CODE, asm.body(code, [[4, asm.I32]]), asm.body(code, [[4, asm.I32]])),
	);
}

/** @returns how often the rewritten code reads (presence) or writes (barrier) the map */
function looks(kind: "presence" | "marks", ...parts: (asm.Bytes | number)[]): number {
	const module = moduleOf(parts.flat());
	assert.ok(WebAssembly.validate(module));
	const { bytes } = rewriteModule(module, { checkPresence: kind === "presence", trackWrites: kind === "marks" });
	assert.ok(WebAssembly.validate(Uint8Array.from(bytes)));
	const rewritten = decodeModule(bytes);
	const look = opcodeOf(kind === "presence" ? "i32.load8_u" : "i32.store8");
	const [first, second] = rewritten.bodies.map((body) => {
		const cursor = new InstructionCursor(bytes, readLocals(rewritten, body).end, body.end);
		let count = 0;
		while (cursor.next()) if (cursor.opcode === look && cursor.secondIndex === 1) count++;
		return count;
	});
	assert.is(first, second, "nothing is carried over from one body to the next");
	return first!;
}

const A = 0;
const B = 1;
const CONDITION = 3;
const load = (local: number, offset = 0): number[] => [0x20, local, 0x28, 0, ...asm.unsigned(offset), 0x1a];
const store = (local: number, offset = 0): number[] => [0x20, local, 0x41, 7, 0x36, 0, ...asm.unsigned(offset)];
const set = (local: number): number[] => [0x41, 5, 0x21, local];
const call: asm.Bytes = [0x41, 0, 0x10, 0, 0x1a];
const block = (...parts: asm.Bytes[]): number[] => [0x02, 0x40, ...parts.flat(), 0x0b];
const loop = (...parts: asm.Bytes[]): number[] => [0x03, 0x40, ...parts.flat(), 0x0b];
const when = (first: asm.Bytes, second?: asm.Bytes): number[] => [
	...[0x20, CONDITION, 0x04, 0x40, ...first],
	...(second === undefined ? [] : [0x05, ...second]),
	0x0b,
];
const attempt = (body: asm.Bytes, handler: asm.Bytes): number[] => [0x06, 0x40, ...body, 0x19, ...handler, 0x0b];
const branch = (label: number): number[] => [0x0c, label];
const branchIf = (label: number): number[] => [0x20, CONDITION, 0x0d, label];
const branchTable = (...labels: number[]): number[] => [0x20, CONDITION, 0x0e, labels.length - 1, ...labels];
const RETURN: asm.Bytes = [0x0f];

const presence = (...parts: (asm.Bytes | number)[]) => looks("presence", ...parts);
const marks = (...parts: (asm.Bytes | number)[]) => looks("marks", ...parts);

const CASES: readonly (readonly [name: string, expected: number, actual: () => number])[] = [
	["one address is looked up once", 1, () => presence(load(A), load(A), store(A))],
	["two locals are two addresses", 2, () => presence(load(A), load(B))],
	["a changed local is another address", 2, () => presence(load(A), set(A), load(A))],
	[
		"between two known offsets less than a page apart all are known",
		2,
		() => presence(load(A), load(A, 4095), load(A, 99)),
	],
	["outside of two known offsets nothing is", 3, () => presence(load(A, 8), load(A, 4000), load(A, 4001))],
	["a page apart is too far", 3, () => presence(load(A), load(A, 4096), load(A, 99))],
	[
		"a window grows downwards too",
		3,
		() => presence(load(A, 900), load(A, 800), load(A, 10), load(A, 850), load(A, 11)),
	],
	[
		"constant addresses share one base",
		2,
		() => presence(0x41, 0, load(A).slice(2), 0x41, 16, load(A, 4).slice(2), 0x41, 8, load(A).slice(2)),
	],
	["stores are marked, loads are not", 1, () => marks(load(A), store(A), load(A), store(A))],
	["a mark is good until the next call", 2, () => marks(store(A), call, store(A))],
	["a page that is there stays there over calls", 1, () => presence(store(A), call, store(A))],
	["what is known before a block is known in it", 1, () => presence(load(A), block(load(A)))],
	["what a block without branches learns is known behind it", 1, () => presence(block(load(A)), load(A))],
	["a branch before the look joins without it", 2, () => presence(block(branchIf(0), load(A)), load(A))],
	["a branch behind the look joins with it", 1, () => presence(block(load(A), branchIf(0)), load(A))],
	["a branch counts for the block it leaves", 2, () => presence(block(block(branchIf(1), load(A)), load(A)), load(A))],
	["every label of a table counts", 2, () => presence(block(block(branchTable(0, 1)), load(A)), load(A))],
	["an unconditional branch joins nothing behind it", 1, () => presence(block(load(A), branch(0)), load(A))],
	["what one arm learns is not known behind the if", 2, () => presence(when(load(A)), load(A))],
	["what is known before an if is known in both arms", 1, () => presence(load(A), when(load(A), load(A)), load(A))],
	["arms know nothing of each other", 2, () => presence(when(load(A), load(A)))],
	["an arm that returns joins nothing", 1, () => presence(when(RETURN, load(A)), load(A))],
	["an arm that falls through joins without the other's look", 2, () => presence(when([], load(A)), load(A))],
	["what is known before a loop is known in it", 1, () => presence(load(A), loop(load(A), branchIf(0)))],
	["unless the loop changes the local further down", 2, () => presence(load(A), loop(load(A), set(A), branchIf(0)))],
	[
		"or further up, or in an inner loop",
		2,
		() => presence(load(A), loop(loop(set(A), branchIf(0)), load(A), branchIf(0))),
	],
	[
		"or an outer loop changes it behind an inner one",
		2,
		() => presence(load(A), loop(loop(load(A), branchIf(0)), set(A), branchIf(0))),
	],
	[
		"a loop that has ended changes nothing any more",
		2,
		() => presence(loop(set(A), branchIf(0)), load(A), loop(load(A), branchIf(0)), load(A), set(A), load(A)),
	],
	["what a loop learns is known behind it", 1, () => presence(loop(load(A), branchIf(0)), load(A))],
	["unless it changed the local since", 2, () => presence(loop(load(A), set(A), branchIf(0)), load(A))],
	["a mark before a loop that calls is not good in it", 2, () => marks(store(A), loop(store(A), call, branchIf(0)))],
	["a handler knows what was known before the try", 1, () => presence(load(A), attempt(call, load(A)), load(A))],
	["a handler knows nothing of the body", 2, () => presence(attempt([...load(A), ...call], load(A)))],
	["behind the handler only what both know is known", 2, () => presence(attempt([...call], load(A)), load(A))],
	[
		"a trail that was cut and grew again is not what a branch knew",
		3,
		() => presence(block(when([...load(A), ...branchIf(1)]), load(B)), load(B)),
	],
	[
		"also when the second arm cut it",
		3,
		() => presence(block(when([...load(A), ...branchIf(1)], []), load(B)), load(B)),
	],
	[
		"also through a block that ended in between",
		3,
		() => presence(block(block(branchIf(0), load(A), branchIf(1)), load(B)), load(B)),
	],
	[
		"also when its own block was cut",
		3,
		() => presence(block(block(when([...load(A), ...branchIf(1)]), load(B)), load(B))),
	],
	["an address below a changed local is not the local", 2, () => presence(load(A), 0x20, A, set(A), 0x28, 0, 0, 0x1a)],
	["an address below a call is still known", 1, () => presence(load(A), 0x20, A, 0x41, 3, 0x10, 0, 0x36, 0, 0)],
	["also below an indirect call", 1, () => presence(load(A), 0x20, A, 0x41, 3, 0x41, 0, 0x11, 0, 0, 0x36, 0, 0)],
	["a branch back joins nothing at a loop's end", 1, () => presence(loop(branchIf(0), load(A)), load(A))],
	[
		"a block's result may come from a branch",
		3,
		() => presence(load(A), load(B), 0x02, asm.I32, 0x20, A, branchIf(0), 0x1a, 0x20, B, 0x0b, 0x28, 0, 0, 0x1a),
	],
	[
		"an if's result may come from either arm",
		3,
		() => presence(load(A), load(B), 0x20, CONDITION, 0x04, asm.I32, 0x20, A, 0x05, 0x20, B, 0x0b, 0x28, 0, 0, 0x1a),
	],
	[
		"values inside a block are not those outside",
		2,
		() => presence(load(A), 0x20, B, 0x02, asm.I32, 0x20, A, 0x0b, 0x36, 0, 0),
	],
	["ranges are looked up by calls", 0, () => presence(0x41, 0, 0x41, 0, 0x41, 9, 0xfc, 10, 0, 0)],
	["waits and notifications touch no page", 0, () => presence(0x41, 0, 0x41, 0, 0xfe, 0, 2, 0, 0x1a)],
];

if (supportsInstrumentation()) {
	for (const [name, expected, actual] of CASES)
		test(name, () => {
			assert.is(actual(), expected);
		});

	test("a function that would outgrow what engines take is refused by number", () => {
		const large = asm.wasm(
			asm.section(asm.SECTION_TYPE, asm.functionType()),
			asm.section(asm.SECTION_FUNCTION, [0]),
			asm.MEMORY,
			asm.section(asm.SECTION_CODE, asm.body([0x20, 0, 0x45, 0x28, 0, 0, 0x1a], [[50_000, asm.I32]])),
		);
		assert.ok(WebAssembly.validate(large));
		assert.throws(
			() => rewriteModule(large, { checkPresence: true }),
			/function 0 would have 50001 locals.*scan tracker/,
		);
	});
} else
	test("an engine without a second memory refuses watched code with the reason", () => {
		assert.throws(() => presence(load(A)), /second memory.*Node 22/);
	});

test.run();
