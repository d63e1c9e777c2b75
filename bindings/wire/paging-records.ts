/**
 * The records about missing pages that are on the way of every fault or as large as a guest's bitmap, little-endian:
 *
 *   missing   u32 first page · u32 page count · u32 form · form 0: the bits, bit i of byte ⌊i/8⌋ is page first + i
 *                                                   form 1: runs, each u32 start relative to first · u32 length
 *   fault     u32 per page
 *   taken     u32 first page of the batch · u32 pages
 *   hashes    u32 first page · 16 bytes per page
 *
 * A sender takes the smaller form; runs ascend, do not touch each other and lie inside the range, so a set has one
 * encoding of each form. Whatever is read allocates no more than its payload, or 1 MiB of bits.
 */
import { MAX_CHUNK_BYTES, MAX_FAULT_PAGES, MAX_PAGE_SET_PAGES } from "./limits.ts";
import type { FaultRecord, HashesRecord, MissingRecord, PagingRecord, TakenRecord } from "./record-shapes.ts";
import { WireError } from "./wire-error.ts";

const PREFIX_BYTES = 12;
const FORM_BITS = 0;
const FORM_RUNS = 1;
const HASH_BYTES = 16;
const MAX_U32 = 0xffff_ffff;

/** Largest payload of one of these records, in bytes; undefined for any other. */
export function maximumPagingBytes(name: string): number | undefined {
	if (name === "missing") return PREFIX_BYTES + MAX_PAGE_SET_PAGES / 8;
	if (name === "fault") return MAX_FAULT_PAGES * 4;
	if (name === "taken") return 8;
	if (name === "hashes") return 4 + MAX_CHUNK_BYTES;
	return undefined;
}

/** @throws {WireError} naming the field that the peer would not accept. */
export function encodePaging(record: PagingRecord): Uint8Array<ArrayBuffer> {
	switch (record.type) {
		case "missing":
			return encodeMissing(record);
		case "fault":
			return words(checkFault(record).pageIndices);
		case "taken":
			return words(Uint32Array.of(checkTaken(record).pageIndex, record.pageCount));
		case "hashes": {
			const { firstPage, hashes } = checkHashes(record);
			const payload = new Uint8Array(4 + hashes.byteLength);
			new DataView(payload.buffer).setUint32(0, firstPage, true);
			payload.set(hashes, 4);
			return payload;
		}
	}
}

/** Reads a payload whose size has been checked. Hashes are a view of it. @throws {WireError} */
export function decodePaging(name: PagingRecord["type"], payload: Uint8Array<ArrayBuffer>): PagingRecord {
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	switch (name) {
		case "missing":
			return decodeMissing(payload, view);
		case "fault":
			return checkFault({ type: "fault", pageIndices: readWords(name, view) });
		case "taken": {
			const [pageIndex, pageCount] = readWords(name, view);
			if (pageIndex === undefined || pageCount === undefined)
				throw new WireError("malformed", name, "", "is too short");
			return checkTaken({ type: "taken", pageIndex, pageCount });
		}
		case "hashes":
			if (payload.byteLength < 4) throw new WireError("malformed", name, "", "is shorter than its prefix");
			return checkHashes({ type: "hashes", firstPage: view.getUint32(0, true), hashes: payload.subarray(4) });
	}
}

function encodeMissing(record: MissingRecord): Uint8Array<ArrayBuffer> {
	const { firstPage, pageCount, bits } = record;
	checkRange(firstPage, pageCount);
	if (bits.byteLength !== Math.ceil(pageCount / 8))
		throw new WireError("out-of-range", "missing", "bits", `${pageCount} pages need ${Math.ceil(pageCount / 8)} bytes`);
	if (pageCount % 8 !== 0 && bits[bits.byteLength - 1]! >>> (pageCount % 8) !== 0)
		throw new WireError("out-of-range", "missing", "bits", "bits beyond the range are set");
	const runs = listRuns(bits, pageCount, Math.floor(bits.byteLength / 8));
	const payload = new Uint8Array(PREFIX_BYTES + (runs === undefined ? bits.byteLength : runs.length * 4));
	const view = new DataView(payload.buffer);
	view.setUint32(0, firstPage, true);
	view.setUint32(4, pageCount, true);
	view.setUint32(8, runs === undefined ? FORM_BITS : FORM_RUNS, true);
	if (runs === undefined) payload.set(bits, PREFIX_BYTES);
	else for (const [i, word] of runs.entries()) view.setUint32(PREFIX_BYTES + 4 * i, word, true);
	return payload;
}

function decodeMissing(payload: Uint8Array<ArrayBuffer>, view: DataView): MissingRecord {
	if (payload.byteLength < PREFIX_BYTES) throw new WireError("malformed", "missing", "", "is shorter than its prefix");
	const firstPage = view.getUint32(0, true);
	const pageCount = view.getUint32(4, true);
	const form = view.getUint32(8, true);
	checkRange(firstPage, pageCount);
	const length = Math.ceil(pageCount / 8);
	const content = payload.subarray(PREFIX_BYTES);
	if (form === FORM_BITS) {
		if (content.byteLength !== length)
			throw new WireError("malformed", "missing", "bits", `${content.byteLength} bytes for ${pageCount} pages`);
		if (pageCount % 8 !== 0 && content[length - 1]! >>> (pageCount % 8) !== 0)
			throw new WireError("out-of-range", "missing", "bits", "bits beyond the range are set");
		return { type: "missing", firstPage, pageCount, bits: content.slice() };
	}
	if (form !== FORM_RUNS) throw new WireError("out-of-range", "missing", "form", "must be 0 or 1");
	if (content.byteLength % 8 !== 0) throw new WireError("malformed", "missing", "runs", "are cut off");
	const bits = new Uint8Array(length);
	let end = -1;
	for (let at = PREFIX_BYTES; at < payload.byteLength; at += 8) {
		const start = view.getUint32(at, true);
		const count = view.getUint32(at + 4, true);
		if (start <= end || count === 0 || start + count > pageCount)
			throw new WireError("out-of-range", "missing", "runs", "must ascend, apart from each other, inside the range");
		setRun(bits, start, start + count);
		end = start + count;
	}
	return { type: "missing", firstPage, pageCount, bits };
}

/**
 * Sets the bits start … end − 1, whole bytes at a time: this record travels while the guest stands still, and most of one
 * is a single run (512 MiB bit by bit: 4 ms in code that has not run before).
 */
function setRun(bits: Uint8Array, start: number, end: number): void {
	const [first, last] = [start >>> 3, end >>> 3];
	const [head, tail] = [0xff << (start & 7), (1 << (end & 7)) - 1];
	if (first === last) {
		bits[first]! |= head & tail;
		return;
	}
	bits[first]! |= head;
	bits.fill(0xff, first + 1, last);
	if (tail !== 0) bits[last]! |= tail;
}

/** Runs as (start, length) pairs; undefined if there are more than `limit`. Skips whole bytes, as {@link setRun}. */
function listRuns(bits: Uint8Array, pageCount: number, limit: number): number[] | undefined {
	const runs: number[] = [];
	for (let page = 0; page < pageCount; ) {
		const byte = bits[page >>> 3]! >>> (page & 7);
		if (byte === 0) page = (page & ~7) + 8;
		else if ((byte & 1) === 0) page++;
		else {
			const start = page;
			while (page < pageCount && ((bits[page >>> 3]! >>> (page & 7)) & 1) === 1)
				page += (page & 7) === 0 && bits[page >>> 3] === 0xff ? 8 : 1;
			runs.push(start, Math.min(page, pageCount) - start);
			if (runs.length > 2 * limit) return undefined;
		}
	}
	return runs;
}

function checkRange(firstPage: number, pageCount: number): void {
	if (!Number.isInteger(firstPage) || firstPage < 0 || firstPage > MAX_U32 || firstPage % 8 !== 0)
		throw new WireError("out-of-range", "missing", "firstPage", "must be a u32 and a multiple of 8");
	if (
		!Number.isInteger(pageCount) ||
		pageCount < 1 ||
		pageCount > MAX_PAGE_SET_PAGES ||
		firstPage + pageCount > MAX_U32
	)
		throw new WireError("out-of-range", "missing", "pageCount", `must be from 1 to ${MAX_PAGE_SET_PAGES}`);
}

function checkFault(record: FaultRecord): FaultRecord {
	const { length } = record.pageIndices;
	if (length < 1 || length > MAX_FAULT_PAGES)
		throw new WireError("out-of-range", "fault", "pageIndices", `must be 1 to ${MAX_FAULT_PAGES} pages`);
	return record;
}

function checkTaken(record: TakenRecord): TakenRecord {
	for (const name of ["pageIndex", "pageCount"] as const)
		if (!Number.isInteger(record[name]) || record[name] < 0 || record[name] > MAX_U32)
			throw new WireError("out-of-range", "taken", name, "must be a u32");
	return record;
}

function checkHashes(record: HashesRecord): HashesRecord {
	const { firstPage, hashes } = record;
	if (!Number.isInteger(firstPage) || firstPage < 0 || firstPage > MAX_U32)
		throw new WireError("out-of-range", "hashes", "firstPage", "must be a u32");
	if (hashes.byteLength === 0 || hashes.byteLength % HASH_BYTES !== 0)
		throw new WireError("out-of-range", "hashes", "hashes", `must be one or more of ${HASH_BYTES} bytes`);
	return record;
}

function words(values: Uint32Array): Uint8Array<ArrayBuffer> {
	const payload = new Uint8Array(values.length * 4);
	const view = new DataView(payload.buffer);
	for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
	return payload;
}

function readWords(name: PagingRecord["type"], view: DataView): Uint32Array<ArrayBuffer> {
	if (view.byteLength % 4 !== 0) throw new WireError("malformed", name, "", "is no list of u32");
	return Uint32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getUint32(4 * i, true));
}
