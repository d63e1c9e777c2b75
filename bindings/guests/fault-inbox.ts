// Memory that the two ends of a guest in post-copy share, because the guest's worker stands still while it waits for a page
// and reads no messages: the host writes batches, the worker takes them.
//
//   control   words │ figures │ one word a page: number of the record that has it │ ring: where each record lies
//   arena     records, one behind another in segments that are used again; grows as needed, up to every owed page
//
//   record    0 status │ 4 number │ 8 bytes │ 12 reserved │ 16 checksum (u64) │ 24 the batch …
//
// Records have ascending numbers, from 1 on. The host writes one, then its place into the ring, then counts it; the worker
// may take any that is counted, in any order, and never looks at one again that it has taken: its room is the host's again
// once its status says so. Places are told in units of 8 bytes.
//
// What the worker writes into a record: its status, and REPEATED over the kind of each page that was there before.
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, BATCH_LIMIT_PAGES, batchLimitBytes } from "../engine/batch.ts";
import type { FaultReport } from "../ports/faulting-guest.ts";
import { MAX_FAULT_SAMPLES } from "../ports/faulting-guest.ts";
import { PAGE_BYTES } from "../ports/guest.ts";

/** Words of the control memory. */
const Word = {
	/** Records written so far: the last one's number. */
	posted: 0,
	/** 1 from the host's message about the inbox until the worker has read it. */
	nudged: 1,
	/** 1 from the worker's news of taken records until the host has read it. */
	news: 2,
	/** Every record up to this number has been taken. */
	done: 3,
	/** 1: nobody will bring pages any more. */
	ended: 4,
	faults: 5,
	minorFaults: 6,
	samples: 7,
	touched: 9,
	/** What the worker waits on: changes with each record, and at the end. */
	wake: 8,
	count: 16,
} as const;
const BLOCKED_OFFSET = Word.count * 4;
const SAMPLES_OFFSET = BLOCKED_OFFSET + 8;
const NUMBERS_OFFSET = SAMPLES_OFFSET + MAX_FAULT_SAMPLES * 8;

const POSTED = 1;
const TAKEN = 2;
const REFUSED = 3;
const RECORD_HEADER_BYTES = 24;
const UNIT_BYTES = 8;
/** In a batch's table, over a page's kind: the page was not installed, it had been before. */
const REPEATED = 0xff;
const KIND_OFFSET = 7;

/** Room for the largest record. */
const SEGMENT_BYTES = 2 ** 22 + 2 ** 16;

/** What the worker is sent. */
export interface FaultMemory {
	/** Pages of the guest when it began; only these can be missing. */
	readonly pageCount: number;
	/** Records that may wait at a time. */
	readonly slots: number;
	readonly control: SharedArrayBuffer;
	readonly arena: SharedArrayBuffer;
}

interface GrowableBuffer extends SharedArrayBuffer {
	grow(byteLength: number): void;
}

/** Segments that the usual push needs: one is written while another is read. */
const PREFAULTED_SEGMENTS = 2;

/** How far an arena may grow, in bytes: beyond it a batch waits until another was taken. Only address space is reserved. */
const MAX_ARENA_BYTES = 2 ** 33;

function growableBuffer(maxByteLength: number): GrowableBuffer {
	// allowed (cast): SharedArrayBuffer takes and has this since ES2024, one year after the library types in use
	const Growable = SharedArrayBuffer as unknown as new (
		byteLength: number,
		options: { readonly maxByteLength: number },
	) => GrowableBuffer;
	return new Growable(0, { maxByteLength });
}

/** One batch on its way, as the host keeps it. */
export interface InboxRecord {
	readonly number: number;
	/** Offset of its header in the arena. */
	readonly offset: number;
	readonly byteLength: number;
	readonly segment: number;
	/** What its table says; not verified before the record is taken. */
	readonly pageIndices: Uint32Array<ArrayBuffer>;
}

/** What became of a record. */
export interface TakenRecord {
	readonly pageIndices: Uint32Array<ArrayBuffer>;
	readonly hashes: Uint8Array<ArrayBuffer>;
	readonly duplicates: number;
}

/** The host's end. */
export class InboxWriter {
	readonly memory: FaultMemory;
	readonly #words: Int32Array<SharedArrayBuffer>;
	readonly #numbers: Int32Array<SharedArrayBuffer>;
	readonly #ring: Int32Array<SharedArrayBuffer>;
	readonly #arena: GrowableBuffer;
	readonly #maximumBytes: number;
	/** Records of each segment that are not the host's again yet. */
	readonly #segments: number[] = [];
	#segment = -1;
	#used = SEGMENT_BYTES;
	#posted = 0;

	/** @param pageCount of the guest. @param owedPages how many are missing */
	constructor(pageCount: number, owedPages: number) {
		const slots = ringSlots(owedPages);
		const control = new SharedArrayBuffer(NUMBERS_OFFSET + (pageCount + slots) * 4);
		// Twice what is owed: a segment's end stays free where the next record does not fit.
		const bytes = 2 * owedPages * (PAGE_BYTES + BATCH_ENTRY_BYTES + RECORD_HEADER_BYTES) + 4 * SEGMENT_BYTES;
		this.#maximumBytes = Math.min(bytes, MAX_ARENA_BYTES);
		this.#arena = growableBuffer(this.#maximumBytes);
		this.memory = { control, arena: this.#arena, pageCount, slots };
		this.#words = new Int32Array(control, 0, Word.count);
		this.#numbers = new Int32Array(control, NUMBERS_OFFSET, pageCount);
		this.#ring = new Int32Array(control, NUMBERS_OFFSET + pageCount * 4, slots);
	}

	/** Touches what every batch needs: fresh memory is filled at 0.35 GB/s. */
	prefault(): void {
		new Uint8Array(this.memory.control).fill(0);
		while (this.#arena.byteLength < PREFAULTED_SEGMENTS * SEGMENT_BYTES && this.#addSegment());
		new Uint8Array(this.#arena).fill(0);
	}

	/** Bytes that the arena has grown to. */
	get heldBytes(): number {
		return this.#arena.byteLength + this.memory.control.byteLength;
	}

	/**
	 * Copies a batch into the inbox and wakes the worker.
	 * @returns its record, or undefined where there is no room before a record is taken
	 */
	post(bytes: Uint8Array, checksum: bigint): InboxRecord | undefined {
		const size = Math.ceil((RECORD_HEADER_BYTES + bytes.byteLength) / UNIT_BYTES) * UNIT_BYTES;
		if (this.#posted - Atomics.load(this.#words, Word.done) >= this.#ring.length || !this.#makeRoom(size))
			return undefined;
		const offset = this.#segment * SEGMENT_BYTES + this.#used;
		this.#used += size;
		this.#segments[this.#segment]!++;
		const number = ++this.#posted;
		const header = new DataView(this.#arena, offset, RECORD_HEADER_BYTES);
		header.setInt32(4, number, true);
		header.setUint32(8, bytes.byteLength, true);
		header.setBigUint64(16, checksum, true);
		new Uint8Array(this.#arena, offset + RECORD_HEADER_BYTES, bytes.byteLength).set(bytes);
		const pageIndices = pagesOf(bytes, this.#numbers.length);
		Atomics.store(statusWord(this.#arena, offset), 0, POSTED);
		Atomics.store(this.#ring, number % this.#ring.length, offset / UNIT_BYTES);
		for (const page of pageIndices) Atomics.store(this.#numbers, page, number);
		Atomics.store(this.#words, Word.posted, number);
		this.#wake();
		return { number, offset, byteLength: bytes.byteLength, segment: this.#segment, pageIndices };
	}

	#wake(): void {
		Atomics.add(this.#words, Word.wake, 1);
		Atomics.notify(this.#words, Word.wake);
	}

	#makeRoom(size: number): boolean {
		if (this.#used + size <= SEGMENT_BYTES) return true;
		const free = this.#segments.indexOf(0);
		if (free < 0 && !this.#addSegment()) return false;
		this.#segment = free < 0 ? this.#segments.length - 1 : free;
		this.#used = 0;
		return true;
	}

	#addSegment(): boolean {
		if (this.#arena.byteLength + SEGMENT_BYTES > this.#maximumBytes) return false;
		this.#arena.grow(this.#arena.byteLength + SEGMENT_BYTES);
		this.#segments.push(0);
		return true;
	}

	/** What the worker has done with a record that was not given back. */
	stateOf({ offset }: InboxRecord): "posted" | "taken" | "refused" {
		const status = Atomics.load(statusWord(this.#arena, offset), 0);
		return status === POSTED ? "posted" : status === TAKEN ? "taken" : "refused";
	}

	/** Gives back the room of a record that is no longer posted. @returns what its table says */
	giveBack({ offset, byteLength, segment, pageIndices }: InboxRecord): TakenRecord {
		const table = new Uint8Array(this.#arena, offset + RECORD_HEADER_BYTES, byteLength);
		const taken = takenOf(table, pageIndices);
		this.#segments[segment]!--;
		return taken;
	}

	/** @returns whether the worker must be sent a message: it has read the last one */
	nudge(): boolean {
		return Atomics.exchange(this.#words, Word.nudged, 1) === 0;
	}

	/** The worker's news have been read: the next will be sent again. */
	newsRead(): void {
		Atomics.store(this.#words, Word.news, 0);
	}

	/** Nobody will bring pages any more: who waits fails. */
	end(): void {
		Atomics.store(this.#words, Word.ended, 1);
		this.#wake();
	}

	/** Waits that have ended, of those that are kept. */
	get waitsEnded(): number {
		return Atomics.load(this.#words, Word.samples);
	}

	/** What the worker has waited for, a wait that goes on excluded. */
	report(): FaultReport {
		const { control } = this.memory;
		const samples = Math.min(Atomics.load(this.#words, Word.samples), MAX_FAULT_SAMPLES);
		return {
			faults: Atomics.load(this.#words, Word.faults),
			minorFaults: Atomics.load(this.#words, Word.minorFaults),
			blockedMs: new Float64Array(control, BLOCKED_OFFSET, 1)[0]!,
			latenciesMs: Array.from(new Float64Array(control, SAMPLES_OFFSET, samples)),
			touchedPages: Atomics.load(this.#words, Word.touched),
		};
	}
}

/** One record, as the worker takes it. */
export interface PostedRecord {
	readonly number: number;
	readonly bytes: Uint8Array<SharedArrayBuffer>;
	readonly checksum: bigint;
	readonly status: Int32Array<SharedArrayBuffer>;
}

/** The worker's end. */
export class InboxReader {
	readonly #arena: SharedArrayBuffer;
	readonly #words: Int32Array<SharedArrayBuffer>;
	readonly #numbers: Int32Array<SharedArrayBuffer>;
	readonly #ring: Int32Array<SharedArrayBuffer>;
	readonly #samples: Float64Array<SharedArrayBuffer>;
	readonly #blocked: Float64Array<SharedArrayBuffer>;
	/** By place in the ring: 1 for a record behind `done` that was taken out of turn. */
	readonly #taken: Uint8Array;
	/** Every record up to this one has been taken. */
	#done = 0;

	constructor({ control, arena, pageCount, slots }: FaultMemory) {
		this.#arena = arena;
		this.#words = new Int32Array(control, 0, Word.count);
		this.#numbers = new Int32Array(control, NUMBERS_OFFSET, pageCount);
		this.#ring = new Int32Array(control, NUMBERS_OFFSET + pageCount * 4, slots);
		this.#samples = new Float64Array(control, SAMPLES_OFFSET, MAX_FAULT_SAMPLES);
		this.#blocked = new Float64Array(control, BLOCKED_OFFSET, 1);
		this.#taken = new Uint8Array(slots);
	}

	/** A number that changes with each record. */
	get wakeups(): number {
		return Atomics.load(this.#words, Word.wake);
	}

	/** True once nobody will bring pages any more. */
	get ended(): boolean {
		return Atomics.load(this.#words, Word.ended) === 1;
	}

	/** Stands still while {@link wakeups} is `seen`. */
	wait(seen: number, timeoutMs: number): void {
		Atomics.wait(this.#words, Word.wake, seen, timeoutMs);
	}

	/** The record that has this page, unless it was taken before. */
	recordOf(pageIndex: number): PostedRecord | undefined {
		const number = Atomics.load(this.#numbers, pageIndex);
		return number > this.#done && this.#taken[number % this.#taken.length] === 0 ? this.#record(number) : undefined;
	}

	/** The first record that was not taken, if it is no longer than this. */
	next(maxBytes: number): PostedRecord | undefined {
		const posted = Atomics.load(this.#words, Word.posted);
		if (this.#done >= posted) return undefined;
		const record = this.#record(this.#done + 1);
		return record.bytes.byteLength <= maxBytes ? record : undefined;
	}

	#record(number: number): PostedRecord {
		const offset = Atomics.load(this.#ring, number % this.#ring.length) * UNIT_BYTES;
		const header = new DataView(this.#arena, offset, RECORD_HEADER_BYTES);
		return {
			number,
			bytes: new Uint8Array(this.#arena, offset + RECORD_HEADER_BYTES, header.getUint32(8, true)),
			checksum: header.getBigUint64(16, true),
			status: statusWord(this.#arena, offset),
		};
	}

	/** Says which pages of a record were installed before it came, and that its room is the host's again. */
	took(record: PostedRecord, repeated: readonly number[]): void {
		const { bytes } = record;
		for (const position of repeated) bytes[BATCH_HEADER_BYTES + position * BATCH_ENTRY_BYTES + KIND_OFFSET] = REPEATED;
		this.#giveBack(record, TAKEN);
	}

	/** The same for a record of which nothing was installed. */
	refused(record: PostedRecord): void {
		this.#giveBack(record, REFUSED);
	}

	#giveBack({ number, status }: PostedRecord, how: number): void {
		this.#taken[number % this.#taken.length] = 1;
		while (this.#taken[(this.#done + 1) % this.#taken.length] === 1) {
			this.#done++;
			this.#taken[this.#done % this.#taken.length] = 0;
		}
		Atomics.store(this.#words, Word.done, this.#done);
		Atomics.store(status, 0, how);
	}

	/** @returns whether the host must be sent a message about records that were taken */
	news(): boolean {
		return Atomics.exchange(this.#words, Word.news, 1) === 0;
	}

	/** The host's message has been read. */
	nudgeRead(): void {
		Atomics.store(this.#words, Word.nudged, 0);
	}

	/** Counts a wait. */
	noteFault(waitedMs: number): void {
		const sample = Atomics.load(this.#words, Word.samples);
		if (sample < MAX_FAULT_SAMPLES) {
			this.#samples[sample] = waitedMs;
			Atomics.store(this.#words, Word.samples, sample + 1);
		}
		this.#blocked[0]! += waitedMs;
	}

	/** Counts a touch that asks for a page. */
	countFault(): void {
		Atomics.add(this.#words, Word.faults, 1);
	}

	/** Counts the first touch of a page that was owed. */
	countTouched(): void {
		Atomics.add(this.#words, Word.touched, 1);
	}

	/** Counts a touch of a page that had come. */
	countMinorFault(): void {
		Atomics.add(this.#words, Word.minorFaults, 1);
	}
}

function statusWord(arena: SharedArrayBuffer, offset: number): Int32Array<SharedArrayBuffer> {
	return new Int32Array(arena, offset, 1);
}

/** A ring holds a record for each owed page, and some that bring nothing new. */
function ringSlots(owedPages: number): number {
	return owedPages + 1024;
}

/** Pages of the guest that a batch names; nothing if its table does not fit its bytes. */
function pagesOf(bytes: Uint8Array, pageCount: number): Uint32Array<ArrayBuffer> {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const count = bytes.byteLength < BATCH_HEADER_BYTES ? 0 : view.getUint32(0, true);
	if (count > BATCH_LIMIT_PAGES || BATCH_HEADER_BYTES + count * BATCH_ENTRY_BYTES > bytes.byteLength)
		return new Uint32Array(0);
	const named = new Uint32Array(count);
	for (let i = 0; i < count; i++) named[i] = view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES, true);
	return named.filter((page) => page < pageCount);
}

function takenOf(table: Uint8Array, pageIndices: Uint32Array): TakenRecord {
	const installed: number[] = [];
	for (let i = 0; i < pageIndices.length; i++)
		if (table[BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + KIND_OFFSET] !== REPEATED) installed.push(i);
	const hashes = new Uint8Array(installed.length * 16);
	for (const [at, i] of installed.entries()) {
		const from = BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + 8;
		hashes.set(table.subarray(from, from + 16), at * 16);
	}
	return {
		pageIndices: Uint32Array.from(installed, (i) => pageIndices[i]!),
		hashes,
		duplicates: pageIndices.length - installed.length,
	};
}

/** The largest batch that an inbox takes. */
export const INBOX_BATCH_BYTES: number = batchLimitBytes(BATCH_LIMIT_PAGES);
