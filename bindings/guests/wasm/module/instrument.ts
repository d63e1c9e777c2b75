// The passes that watch a running guest's memory: a write barrier (each store marks its page dirty) and presence checks
// (each access waits until its page has arrived). Both look the page up in the second memory of `page-map.ts`.
//
// An access is judged by the page it *starts* on. One that crosses into the next page is right all the same: a page that is
// here while the next one is missing is an *edge*, and an access that starts in its last 15 bytes (the longest has 16)
// waits for both; the harvest of dirty pages looks at the first 15 bytes behind each dirty page (`../marked-pages.ts`).
//
//   barrier:   …store…  map[(base + offset) >> 12] = 1            after the store: one that traps marks nothing
//   presence:  if (place in the page + map[(base + offset) >> 12]) & 128 { arrive(base + offset) }  …access…
//
// base + offset wraps at 4 GiB where the access itself traps; then a wrong page is looked up and nothing is harmed.
import { ACCESSES, type MemoryAccess } from "./accesses.ts";
import { BodyScan } from "./body-scan.ts";
import type { BodyEdit, CodePass } from "./code.ts";
import type { InstructionCursor } from "./cursor.ts";
import { type ModuleEdit, RESERVED_PREFIX } from "./edit.ts";
import { CONSTANT_BASE, KnownPages } from "./known-pages.ts";
import { opcodeBytes, opcodeOf, opcodeSet } from "./opcodes.ts";
import { Operands } from "./operands.ts";
import { DIRTY_OFFSET, EDGE, MAP_MEMORY_PAGES, MISSING, MISSING_OFFSET, PART_SHIFT, PARTS } from "./page-map.ts";
import { CONTROL, Scopes } from "./scopes.ts";
import type { ByteWriter } from "./writer.ts";

export interface Watch {
	/** Mark the pages that are written to. */
	readonly writes: boolean;
	/** Wait for pages that are missing. */
	readonly presence: boolean;
}

/** Names of the exports that watching adds. */
export const WATCHED: {
	/** The second memory, with the maps of `page-map.ts`. */
	readonly map: string;
	/** A table of one slot: the function `(pageIndex) -> ()` that returns once a page has arrived. */
	readonly arrive: string;
} = { map: `${RESERVED_PREFIX}map`, arrive: `${RESERVED_PREFIX}arrive` };

const op = (name: string): number => opcodeOf(name);
const LOCAL_GET = op("local.get");
const LOCAL_SET = op("local.set");
const LOCAL_TEE = op("local.tee");
const I32_CONST = op("i32.const");
const I32_ADD = op("i32.add");
const I32_SUB = op("i32.sub");
const I32_EQZ = op("i32.eqz");
const I32_EQ = op("i32.eq");
const I32_AND = op("i32.and");
const BR = op("br");
const I32_LT_U = op("i32.lt_u");
const I32_LE_U = op("i32.le_u");
const SHIFT_RIGHT = op("i32.shr_u");
const LOAD_BYTE = op("i32.load8_u");
const STORE_BYTE = op("i32.store8");
const CALL = op("call");
const CALL_INDIRECT = op("call_indirect");
const IF = op("if");
const LOOP = op("loop");
const END = op("end");
const RETURN = op("return");
const BR_IF = op("br_if");
const NO_RESULT = 0x40;
/** Alignment 1, followed by a memory index. */
const BYTE_IN_MEMORY = 0x40;
const PAGE_SHIFT = 12;
const PAGE_BYTES = 4096;
/** A vector's. */
const LONGEST_ACCESS = 16;
const MEMORY_COPY = op("memory.copy");
const BULK = opcodeSet("memory.init", "memory.copy", "memory.fill");

/** Adds the map and its functions to the module. @returns the pass over the code */
export function watchMemory(edit: ModuleEdit, watch: Watch): CodePass {
	const map = edit.addMemory(MAP_MEMORY_PAGES);
	edit.addExport(WATCHED.map, "memory", map);
	const { writes, presence } = watch;
	const markRange = writes ? addMarkRange(edit, map) : -1;
	const [arrive, arriveRange] = presence ? addArrive(edit, map) : [-1, -1];
	return new WatchPass(edit, watch, { map, markRange, arrive, arriveRange });
}

interface Targets {
	readonly map: number;
	/** `(address, length) -> ()`: marks the pages of a range that was written. */
	readonly markRange: number;
	/** `(address) -> ()` and `(address, length) -> ()`: return once the pages are there. */
	readonly arrive: number;
	readonly arriveRange: number;
}

function addMarkRange(edit: ModuleEdit, map: number): number {
	return edit.addFunction(["i32", "i32"], [], (code) => {
		get(code, 1).byte(IF).byte(NO_RESULT);
		constant(page(get(code, 0)), 1);
		page(endOf(code));
		page(get(code, 0)).byte(I32_SUB);
		constant(code, 1).byte(I32_ADD);
		for (const byte of opcodeBytes(op("memory.fill"))) code.byte(byte);
		code.u32(map).byte(END);
	});
}

/** Address of a range's last byte, the range being locals 0 (address) and 1 (length). */
function endOf(code: ByteWriter): ByteWriter {
	get(get(code, 0), 1).byte(I32_ADD);
	return constant(code, 1).byte(I32_SUB);
}

function addArrive(edit: ModuleEdit, map: number): [arrive: number, arriveRange: number] {
	const table = edit.addTable(1);
	edit.addExport(WATCHED.arrive, "table", table);
	const type = edit.type(["i32"], []);
	const call = (code: ByteWriter) => constant(code, 0).byte(CALL_INDIRECT).u32(type).u32(table);
	// An edge's own bytes are there: only what goes on into the next page waits.
	const arrive = edit.addFunction(
		["i32"],
		[],
		(code) => {
			const STATE = 1;
			code.byte(LOOP).byte(NO_RESULT);
			mapAccess(page(get(code, 0)), LOAD_BYTE, map, MISSING_OFFSET)
				.byte(LOCAL_TEE)
				.u32(STATE);
			code.byte(I32_EQZ).byte(IF).byte(NO_RESULT).byte(RETURN).byte(END);
			constant(get(code, STATE), EDGE).byte(I32_EQ);
			constant(get(code, 0), PAGE_BYTES - 1).byte(I32_AND);
			constant(code, PAGE_BYTES - LONGEST_ACCESS)
				.byte(I32_LE_U)
				.byte(I32_AND);
			code.byte(IF).byte(NO_RESULT).byte(RETURN).byte(END);
			call(page(get(code, 0)))
				.byte(BR)
				.u32(0)
				.byte(END);
		},
		["i32"],
	);
	const [PAGE, LAST] = [2, 3];
	const arriveRange = edit.addFunction(
		["i32", "i32"],
		[],
		(code) => {
			// An empty range needs nothing; one that wraps traps in the instruction itself.
			get(code, 1).byte(I32_EQZ).byte(IF).byte(NO_RESULT).byte(RETURN).byte(END);
			get(endOf(code).byte(LOCAL_TEE).u32(LAST), 0);
			code.byte(I32_LT_U).byte(IF).byte(NO_RESULT).byte(RETURN).byte(END);
			page(get(code, LAST)).byte(LOCAL_SET).u32(LAST);
			page(get(code, 0)).byte(LOCAL_SET).u32(PAGE);
			code.byte(LOOP).byte(NO_RESULT);
			constant(mapAccess(get(code, PAGE), LOAD_BYTE, map, MISSING_OFFSET), MISSING).byte(I32_EQ);
			code.byte(IF).byte(NO_RESULT);
			call(get(code, PAGE)).byte(END);
			constant(get(code, PAGE), 1).byte(I32_ADD).byte(LOCAL_TEE).u32(PAGE);
			get(code, LAST).byte(I32_LE_U).byte(BR_IF).u32(0).byte(END);
		},
		["i32", "i32"],
	);
	return [arrive, arriveRange];
}

function get(code: ByteWriter, local: number): ByteWriter {
	return code.byte(LOCAL_GET).u32(local);
}

function constant(code: ByteWriter, value: number): ByteWriter {
	return code.byte(I32_CONST).s32(value);
}

function page(code: ByteWriter): ByteWriter {
	return constant(code, PAGE_SHIFT).byte(SHIFT_RIGHT);
}

function mapAccess(code: ByteWriter, opcode: number, map: number, offset: number): ByteWriter {
	return code.byte(opcode).byte(BYTE_IN_MEMORY).u32(map).u32(offset);
}

/** Where an access's address can be had from: a local that still holds it, or a constant. */
interface Address {
	readonly base: number;
	/** Added to the base: the access's static offset, and the constant if that is the base. */
	readonly offset: number;
	/** Where the local next changes. */
	readonly expires: number;
}

class WatchPass implements CodePass {
	readonly #source: Uint8Array;
	readonly #watch: Watch;
	readonly #targets: Targets;
	readonly #scan = new BodyScan();
	readonly #known = new KnownPages();
	readonly #scopes = new Scopes();
	readonly #operands: Operands;
	#loops = 0;

	constructor(edit: ModuleEdit, watch: Watch, targets: Targets) {
		this.#source = edit.module.bytes;
		this.#watch = watch;
		this.#targets = targets;
		this.#operands = new Operands(edit.module, this.#scan);
	}

	begin(body: BodyEdit): void {
		this.#scan.begin(this.#source, body.code);
		this.#known.begin();
		this.#scopes.begin();
		this.#operands.begin();
		this.#loops = 0;
	}

	instruction(cursor: InstructionCursor, body: BodyEdit): void {
		const { opcode } = cursor;
		const access = ACCESSES[opcode]!;
		if (access !== null) this.#access(cursor, body, access);
		else if (CONTROL[opcode] === 1) {
			if (opcode === LOOP) this.#known.enterLoop(cursor.start, this.#scan.loopEnds[this.#loops++]!);
			this.#known.cut(this.#scopes.pass(cursor, this.#known.length));
		} else if (BULK[opcode] === 1) this.#bulk(cursor, body);
		this.#scan.pass(cursor);
		this.#operands.pass(cursor);
	}

	#access(cursor: InstructionCursor, body: BodyEdit, access: MemoryAccess): void {
		const operand = this.#operands.below(access.operands.length, cursor.start);
		const offset = cursor.memoryOffset + (operand?.constant ?? 0);
		const base = operand?.base ?? NO_BASE;
		const check = this.#watch.presence && !this.#isKnown("present", base, offset, cursor.start);
		const mark = this.#watch.writes && access.writes && !this.#isKnown("marked", base, offset, cursor.start);
		if (!check && !mark) return;
		const address = operand === null ? spill(body, cursor, access) : { base, offset, expires: operand.expires };
		if (check) this.#check(body.before(cursor), address);
		if (operand === null) unspill(body, cursor, access);
		if (mark) this.#mark(body.after(cursor), address);
		if (operand === null) return;
		if (check) this.#known.learn("present", base, offset, cursor.start, operand.expires);
		// Whoever harvests may do so in a call that this code makes: a mark is good until then.
		if (mark) {
			const expires = Math.min(operand.expires, this.#scan.nextCall());
			this.#known.learn("marked", base, offset, cursor.start, expires);
		}
	}

	#isKnown(kind: "present" | "marked", base: number, offset: number, place: number): boolean {
		return base !== NO_BASE && this.#known.covers(kind, base, offset, place);
	}

	#check(code: ByteWriter, address: Address): void {
		const { map, arrive } = this.#targets;
		partOf(mapAccess(pageOf(code, address), LOAD_BYTE, map, MISSING_OFFSET), address).byte(I32_ADD);
		constant(code, PARTS).byte(I32_AND).byte(IF).byte(NO_RESULT);
		addressOf(code, address).byte(CALL).u32(arrive).byte(END);
	}

	#mark(code: ByteWriter, address: Address): void {
		mapAccess(constant(pageOf(code, address), 1), STORE_BYTE, this.#targets.map, DIRTY_OFFSET);
	}

	/** Bulk instructions take address, source or value, and length; what they touch is looked up as ranges. */
	#bulk(cursor: InstructionCursor, body: BodyEdit): void {
		const { writes, presence } = this.#watch;
		const { arriveRange, markRange } = this.#targets;
		const address = body.local("i32", "range address");
		const second = body.local("i32", "range source");
		const length = body.local("i32", "range length");
		const before = body.before(cursor);
		for (const local of [length, second, address]) before.byte(LOCAL_SET).u32(local);
		if (presence) get(get(before, address), length).byte(CALL).u32(arriveRange);
		if (presence && cursor.opcode === MEMORY_COPY) get(get(before, second), length).byte(CALL).u32(arriveRange);
		get(get(get(before, address), second), length);
		if (writes)
			get(get(body.after(cursor), address), length)
				.byte(CALL)
				.u32(markRange);
	}
}

const NO_BASE = -2;
/** Uses of locals, by place of the operand. */
const OPERAND: readonly string[] = ["first operand", "second operand", "third operand"];

/** Takes the operands off the stack into locals, the address last. */
function spill(body: BodyEdit, cursor: InstructionCursor, { operands }: MemoryAccess): Address {
	const code = body.before(cursor);
	for (let i = operands.length - 1; i >= 0; i--) code.byte(LOCAL_SET).u32(body.local(operands[i]!, OPERAND[i]!));
	const base = body.local("i32", "address");
	code.byte(LOCAL_TEE).u32(base);
	return { base, offset: cursor.memoryOffset, expires: 0 };
}

/** Puts back what `spill` took; the address has stayed. */
function unspill(body: BodyEdit, cursor: InstructionCursor, { operands }: MemoryAccess): void {
	const code = body.before(cursor);
	for (const [i, type] of operands.entries()) get(code, body.local(type, OPERAND[i]!));
}

function addressOf(code: ByteWriter, { base, offset }: Address): ByteWriter {
	if (base === CONSTANT_BASE) return constant(code, offset);
	get(code, base);
	return offset === 0 ? code : constant(code, offset).byte(I32_ADD);
}

/** Where in its page an access starts: see page-map.ts. */
function partOf(code: ByteWriter, address: Address): ByteWriter {
	if (address.base === CONSTANT_BASE) return constant(code, (address.offset >>> PART_SHIFT) & (PARTS - 1));
	constant(addressOf(code, address), PART_SHIFT).byte(SHIFT_RIGHT);
	return constant(code, PARTS - 1).byte(I32_AND);
}

function pageOf(code: ByteWriter, address: Address): ByteWriter {
	if (address.base === CONSTANT_BASE) return constant(code, (address.offset % 2 ** 32) >>> PAGE_SHIFT);
	return page(addressOf(code, address));
}
