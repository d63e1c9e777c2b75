import { suite } from "uvu";
import * as assert from "uvu/assert";
import { InstructionCursor } from "../../bindings/guests/wasm/module/cursor.ts";
import { WasmModuleError } from "../../bindings/guests/wasm/module/errors.ts";
import { IMMEDIATES, type Immediates } from "../../bindings/guests/wasm/module/opcode-table.ts";
import {
	immediatesAfter,
	knownOpcodes,
	opcodeBytes,
	opcodeName,
	opcodeOf,
	POPS,
	PUSHES,
} from "../../bindings/guests/wasm/module/opcodes.ts";
import * as asm from "../wasm/assembler.ts";

const test = suite("wasm opcodes");

/** Instructions that Node 20 does not have yet; Deno 2.9 has every instruction of the table. */
const NEWER = /relaxed|^throw_ref$|^try_table$|call_ref$|^ref\.as_non_null$|^br_on_/;
/** Instructions that mean something only inside a block that another instruction opens. */
const INSIDE_BLOCKS = /^(else|end|catch|catch_all|rethrow|delegate)$/;

/** Every code that follows `unreachable` is type-correct for any operands, so only decoding and indices are checked. */
const IMMEDIATE_BYTES: Readonly<Record<Exclude<Immediates, 16>, asm.Bytes>> = {
	[IMMEDIATES.none]: [],
	[IMMEDIATES.index]: [0],
	[IMMEDIATES.indices]: [0, 0],
	[IMMEDIATES.labels]: [1, 0, 0],
	[IMMEDIATES.block]: [0x40],
	[IMMEDIATES.tryTable]: [0x40, 1, 2, 0],
	[IMMEDIATES.types]: [1, asm.I32],
	[IMMEDIATES.memory]: [0, 0],
	[IMMEDIATES.memoryLane]: [0, 0, 0],
	[IMMEDIATES.byte]: [0],
	[IMMEDIATES.i32]: [0xff, 0x7f],
	[IMMEDIATES.i64]: [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f],
	[IMMEDIATES.bytes4]: [1, 2, 3, 4],
	[IMMEDIATES.bytes8]: [1, 2, 3, 4, 5, 6, 7, 8],
	[IMMEDIATES.bytes16]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
	[IMMEDIATES.heapType]: [0x70],
};

const exact = (opcode: number): asm.Bytes => {
	// Atomic accesses must state their natural alignment; the name says the width.
	const name = opcodeName(opcode);
	const immediates = IMMEDIATE_BYTES[immediatesAfter(opcode, 0) as Exclude<Immediates, 16>];
	if (!name.includes("atomic.") || name === "atomic.fence") return immediates;
	const bits = /(?:load|store|rmw)(\d+)/.exec(name)?.[1] ?? (/^i64|wait64/.test(name) ? "64" : "32");
	return [Math.log2(Number(bits) / 8), 0];
};

/** A module with one of everything an index 0 can mean; function 0 has type 0, `() -> (i32)` is block-free. */
function moduleAround(
	code: asm.Bytes,
	locals: readonly (readonly [number, number])[] = [[1, asm.I32]],
): Uint8Array<ArrayBuffer> {
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType()),
		asm.section(asm.SECTION_FUNCTION, [0]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.section(asm.SECTION_MEMORY, [3, 1, 1]),
		asm.section(13, [0, 0]),
		asm.section(asm.SECTION_GLOBAL, [asm.I32, 1, ...asm.constant(0), 0x0b]),
		asm.section(asm.SECTION_ELEMENT, [1, 0, ...asm.vector([0])]),
		asm.rawSection(asm.SECTION_DATA_COUNT, [1]),
		asm.section(asm.SECTION_CODE, asm.body(code, [...locals])),
		asm.section(asm.SECTION_DATA, [1, ...asm.vector([5])]),
	);
}

const plain = knownOpcodes().filter((opcode) => {
	try {
		return immediatesAfter(opcode, 0) !== IMMEDIATES.collected && !INSIDE_BLOCKS.test(opcodeName(opcode));
	} catch {
		return false;
	}
});

function isBlock(opcode: number): boolean {
	const immediates = immediatesAfter(opcode, 0);
	return immediates === IMMEDIATES.block || immediates === IMMEDIATES.tryTable;
}

test("the table knows every instruction by one name and one number", () => {
	const names = knownOpcodes().map(opcodeName);
	assert.is(new Set(names).size, names.length);
	const byPrefix = (prefix: number) => knownOpcodes().filter((opcode) => opcodeBytes(opcode)[0] === prefix).length;
	assert.is(byPrefix(0xfb), 31, "collected objects");
	assert.is(byPrefix(0xfc), 8 + 10, "saturating truncations, bulk operations");
	assert.is(byPrefix(0xfd), 236 + 20, "SIMD, relaxed SIMD");
	assert.is(byPrefix(0xfe), 67, "atomics");
	// 172 of version 1, 5 sign extensions, 6 reference types, 2 tail calls, 6 typed references, 8 exceptions.
	assert.is(names.length - 31 - 18 - 256 - 67, 172 + 5 + 6 + 2 + 6 + 8);
	assert.is(opcodeOf("i32.load"), 0x28);
	assert.equal(opcodeBytes(opcodeOf("memory.fill")), [0xfc, 11]);
	assert.equal(opcodeBytes(opcodeOf("i32x4.relaxed_dot_i8x16_i7x16_add_s")), [0xfd, 0x93, 0x02]);
	assert.throws(() => opcodeOf("i32.lode"), /i32\.lode/);
});

test("the engine decodes every instruction as long as the table says", () => {
	const unsupported: string[] = [];
	for (const opcode of plain) {
		const code = [0x00, ...opcodeBytes(opcode), ...exact(opcode), ...(isBlock(opcode) ? [0x00, 0x0b] : []), 0x00];
		if (!WebAssembly.validate(moduleAround(code))) unsupported.push(opcodeName(opcode));
		const bytes = Uint8Array.from([...code, 0x0b]);
		const cursor = new InstructionCursor(bytes, 0, bytes.length);
		cursor.next();
		cursor.next();
		assert.is(cursor.opcode, opcode, opcodeName(opcode));
		assert.is(cursor.end, 1 + opcodeBytes(opcode).length + exact(opcode).length, opcodeName(opcode));
		while (cursor.next());
	}
	assert.equal(
		unsupported.filter((name) => !NEWER.test(name)),
		[],
	);
});

test("the engine agrees with the table on how many values every instruction takes and gives", () => {
	const types = [asm.I32, asm.I64, asm.F32, asm.F64, asm.V128, asm.FUNCREF];
	const operands = (count: number): number[][] =>
		count === 0 ? [[]] : operands(count - 1).flatMap((rest) => types.map((type) => [...rest, type]));
	const wrong: string[] = [];
	for (const opcode of plain) {
		const popped = POPS[opcode]!;
		const pushed = PUSHES[opcode]!;
		if (popped < 0) continue;
		const fits = operands(popped).some((signature) => {
			const gets = signature.flatMap((_, i) => [0x20, i]);
			const drops = new Array(pushed).fill(0x1a);
			const code = [...gets, ...opcodeBytes(opcode), ...exact(opcode), ...drops];
			return WebAssembly.validate(
				moduleAround(
					code,
					[...signature, asm.I32].map((type) => [1, type] as const),
				),
			);
		});
		if (!fits) wrong.push(opcodeName(opcode));
	}
	assert.equal(
		wrong.filter((name) => !NEWER.test(name)),
		[],
	);
});

test("a walk ends at the body's own end, and nothing may follow or be missing", () => {
	const walk = (...code: number[]) => {
		const bytes = Uint8Array.from(code);
		const cursor = new InstructionCursor(bytes, 0, bytes.length);
		let count = 0;
		while (cursor.next()) count++;
		return count;
	};
	assert.is(walk(0x0b), 1);
	assert.is(walk(0x02, 0x40, 0x03, 0x7f, 0x41, 0x00, 0x0b, 0x1a, 0x0b, 0x0b), 7);
	assert.is(walk(0x06, 0x40, 0x07, 0x00, 0x0b, 0x06, 0x40, 0x18, 0x00, 0x0b), 6);
	for (const damaged of [
		[],
		[0x02, 0x40, 0x0b],
		[0x0b, 0x01],
		[0x41],
		[0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0b],
	])
		assert.throws(
			() => walk(...damaged),
			(error: unknown) => error instanceof WasmModuleError && error.code === "malformed",
		);
});

test.run();
