// Walks the instructions of one function body or constant expression, decoding only what passes ask for.
// Invariants: the walk ends exactly at the `end` that closes the body and nothing follows it; blocks are balanced; the
// fields describe the current instruction and are overwritten by the next one (no allocation per instruction).
import { BRANCH_LABELS, LOCALS } from "./limits.ts";
import { IMMEDIATES } from "./opcode-table.ts";
import { immediatesAfter, isPrefix, opcodeOf, prefixedOpcode } from "./opcodes.ts";
import { ByteReader } from "./reader.ts";
import { readHeapType, readValueType } from "./types.ts";

const END = opcodeOf("end");
const DELEGATE = opcodeOf("delegate");
/** Alignment flag bit that announces a memory index. */
const HAS_MEMORY_INDEX = 0x40;
/** Types given as "no result" in a block type. */
const EMPTY_BLOCK = -64;

export class InstructionCursor {
	readonly #reader: ByteReader;
	/** The instruction's bytes are `start` to `end`. */
	start: number;
	end: number;
	opcode = 0;
	/** First and second index of an instruction that has them; an access's memory index is the second. */
	index = 0;
	secondIndex = 0;
	/** Value of an `i32.const`. */
	constant = 0;
	/** Labels of a `br_table` (the default one last) or of the catch clauses of a `try_table`. */
	readonly labels: number[] = [];
	/** Static offset of a memory access. */
	memoryOffset = 0;
	/** Blocks open after this instruction; 0 once the body's own `end` was read. */
	depth = 1;

	constructor(bytes: Uint8Array, start: number, end: number) {
		this.#reader = new ByteReader(bytes, start, end);
		this.start = start;
		this.end = start;
	}

	/**
	 * Moves to the next instruction.
	 * @returns false after the body's last `end`
	 * @throws WasmModuleError naming an instruction that is unknown, refused or damaged
	 */
	next(): boolean {
		const reader = this.#reader;
		this.start = reader.offset;
		if (this.depth === 0) {
			if (reader.offset !== reader.end) reader.malformed("code goes on after its end");
			return false;
		}
		const byte = reader.byte();
		this.opcode = isPrefix(byte) ? prefixedOpcode(byte, reader.u32(), this.start) : byte;
		if (this.opcode === END || this.opcode === DELEGATE) this.depth--;
		this.#immediates(reader);
		this.end = reader.offset;
		return true;
	}

	#immediates(reader: ByteReader): void {
		switch (immediatesAfter(this.opcode, this.start)) {
			case IMMEDIATES.none:
				return;
			case IMMEDIATES.index:
				this.index = reader.u32();
				return;
			case IMMEDIATES.memory:
				this.#access(reader);
				return;
			case IMMEDIATES.i32:
				this.constant = reader.s32();
				return;
			case IMMEDIATES.block:
				this.depth++;
				this.#blockType(reader);
				return;
			case IMMEDIATES.indices:
				this.index = reader.u32();
				this.secondIndex = reader.u32();
				return;
			case IMMEDIATES.i64:
				reader.skipS64();
				return;
			case IMMEDIATES.labels:
				this.labels.length = 0;
				for (let labels = reader.count(BRANCH_LABELS, "branch labels"); labels >= 0; labels--)
					this.labels.push(reader.u32());
				return;
			case IMMEDIATES.tryTable:
				this.depth++;
				this.#blockType(reader);
				this.#catchClauses(reader);
				return;
			case IMMEDIATES.types:
				for (let types = reader.count(LOCALS, "types"); types > 0; types--) readValueType(reader);
				return;
			case IMMEDIATES.memoryLane:
				this.#access(reader);
				reader.skip(1);
				return;
			case IMMEDIATES.heapType:
				readHeapType(reader);
				return;
			case IMMEDIATES.byte:
				reader.skip(1);
				return;
			case IMMEDIATES.bytes4:
				reader.skip(4);
				return;
			case IMMEDIATES.bytes8:
				reader.skip(8);
				return;
			case IMMEDIATES.bytes16:
				reader.skip(16);
				return;
		}
	}

	#access(reader: ByteReader): void {
		const alignment = reader.u32();
		this.secondIndex = (alignment & HAS_MEMORY_INDEX) === 0 ? 0 : reader.u32();
		if ((alignment & ~HAS_MEMORY_INDEX) > 4) reader.malformed("an alignment is too large", this.start);
		this.memoryOffset = reader.u32();
	}

	#blockType(reader: ByteReader): void {
		const start = reader.offset;
		const type = reader.s33();
		if (type >= 0 || type === EMPTY_BLOCK) return;
		reader.offset = start;
		readValueType(reader);
	}

	#catchClauses(reader: ByteReader): void {
		this.labels.length = 0;
		for (let clauses = reader.count(BRANCH_LABELS, "catch clauses", 2); clauses > 0; clauses--) {
			const kind = reader.byte();
			if (kind > 3) reader.malformed("an unknown catch clause", reader.offset - 1);
			if (kind < 2) reader.u32();
			this.labels.push(reader.u32());
		}
	}
}
