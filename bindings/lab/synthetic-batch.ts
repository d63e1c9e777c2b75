/**
 * Batches of the synthetic guest: small real bytes that stand for many pages.
 *
 *   0          4        8             12              16
 *   | entries  | runs   | table bytes | payload bytes |  header, u32 little-endian each
 *
 *   entries > 0:  index u32 · length u24, kind u8 · hash 16 bytes     as in the engine's batches, so that whoever reads only
 *                 then per page its contents, or its version u32      the structure (paging, images) understands it
 *   runs > 0:     first page u32 · pages u32 · version u32            neighbours of one version: a large guest's batch is
 *                                                                     a few dozen bytes
 *
 * What a simulated link or disk charges is another number: the length that these pages would have on a real wire.
 */
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, BATCH_LIMIT_PAGES, BatchError } from "../engine/batch.ts";
import { createEngine } from "../engine/engine.ts";
import { hash128 } from "../engine/hash.ts";
import { PAGE_BYTES } from "../ports/guest.ts";

/** Of a guest without contents: one for all batches, of which a large guest has a hundred thousand. */
export const NO_CONTENTS: ReadonlyMap<number, Uint8Array> = new Map();

const RUN_BYTES = 12;
/** Of the engine's kinds: zero, raw, and (as if it were compressed to 4 bytes) a version without contents. */
const ZERO_KIND = 0;
const RAW_KIND = 1;
const VERSION_KIND = 2;
const VERSION_BYTES = 4;
/** Batches up to this size carry a table: paging pushes at most 64 pages at a time and reads their names from it. */
const TABLE_PAGES = 64;

/** What a batch says of its pages. */
export interface BatchContents {
	readonly pageIndices: Uint32Array<ArrayBuffer>;
	readonly versions: Uint32Array<ArrayBuffer>;
	/** Whole pages, by page index, where the guest has contents. */
	readonly contents: ReadonlyMap<number, Uint8Array>;
}

/** Encodes pages. @param tables - always in the engine's structure, which contents need and images. */
export function encodeBatch(contents: BatchContents, tables: boolean): Uint8Array<ArrayBuffer> {
	const pages = contents.pageIndices.length;
	return tables || pages <= TABLE_PAGES ? encodeTable(contents) : encodeRuns(contents);
}

function encodeTable({ pageIndices, versions, contents }: BatchContents): Uint8Array<ArrayBuffer> {
	const count = pageIndices.length;
	const tableBytes = count * BATCH_ENTRY_BYTES;
	let payloadBytes = 0;
	for (let i = 0; i < count; i++) {
		if (versions[i] === 0) continue;
		payloadBytes += contents.has(pageIndices[i]!) ? PAGE_BYTES : VERSION_BYTES;
	}
	const words = new Uint32Array((BATCH_HEADER_BYTES + tableBytes + payloadBytes) / 4);
	const bytes = new Uint8Array(words.buffer);
	words.set([count, 0, tableBytes, payloadBytes]);
	let payload = BATCH_HEADER_BYTES + tableBytes;
	for (let i = 0; i < count; i++) {
		const page = pageIndices[i]!;
		const version = versions[i]!;
		const at = (BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES) / 4;
		const content = contents.get(page);
		words[at] = page;
		hashInto(words, at + 2, page, version);
		if (version === 0) words[at + 1] = ZERO_KIND << 24;
		else if (content === undefined) {
			words[at + 1] = VERSION_BYTES | (VERSION_KIND << 24);
			words[payload / 4] = version;
			payload += VERSION_BYTES;
		} else {
			words[at + 1] = PAGE_BYTES | (RAW_KIND << 24);
			bytes.set(content, payload);
			payload += PAGE_BYTES;
		}
	}
	return bytes;
}

function encodeRuns({ pageIndices, versions }: BatchContents): Uint8Array<ArrayBuffer> {
	const runs: number[] = [];
	for (let i = 0; i < pageIndices.length; ) {
		const first = i++;
		const page = pageIndices[first]!;
		const version = versions[first]!;
		while (i < pageIndices.length && pageIndices[i]! - page === i - first && versions[i] === version) i++;
		runs.push(page, i - first, version);
	}
	const words = Uint32Array.from([0, runs.length / 3, 0, runs.length * 4, ...runs]);
	return new Uint8Array(words.buffer);
}

/** @throws {BatchError} for bytes that are no batch of a guest of this size. */
export function decodeBatch(bytes: Uint8Array, pageCount: number): BatchContents {
	if (bytes.byteLength < BATCH_HEADER_BYTES || bytes.byteLength % 4 !== 0) throw new BatchError("truncated");
	const words = new Uint32Array(bytes.slice().buffer);
	const [entries = 0, runs = 0, tableBytes = 0, payloadBytes = 0] = words;
	if (BATCH_HEADER_BYTES + tableBytes + payloadBytes !== bytes.byteLength) throw new BatchError("bad-header");
	const decoded = entries > 0 ? decodeTable(words, bytes, entries) : decodeRuns(words, runs);
	const { pageIndices } = decoded;
	for (let position = 0; position < pageIndices.length; position++) {
		const pageIndex = pageIndices[position]!;
		if (pageIndex >= pageCount) throw new BatchError("bad-index", { position, pageIndex });
	}
	return decoded;
}

function decodeTable(words: Uint32Array, bytes: Uint8Array, count: number): BatchContents {
	if (count > BATCH_LIMIT_PAGES || count * BATCH_ENTRY_BYTES !== words[2]) throw new BatchError("bad-header");
	const pageIndices = new Uint32Array(count);
	const versions = new Uint32Array(count);
	const contents = new Map<number, Uint8Array>();
	let payload = BATCH_HEADER_BYTES + count * BATCH_ENTRY_BYTES;
	for (let i = 0; i < count; i++) {
		const at = (BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES) / 4;
		const page = words[at]!;
		const kind = words[at + 1]! >>> 24;
		const length = words[at + 1]! & 0xffffff;
		if (payload + length > bytes.byteLength) throw new BatchError("bad-payload");
		pageIndices[i] = page;
		if (kind === RAW_KIND) contents.set(page, bytes.slice(payload, payload + length));
		// Pages with contents have their version in the hash: see hashInto.
		if (kind !== ZERO_KIND) versions[i] = kind === VERSION_KIND ? words[payload / 4]! : words[at + 2]!;
		payload += length;
	}
	return { pageIndices, versions, contents };
}

function decodeRuns(words: Uint32Array, runs: number): BatchContents {
	if (runs * RUN_BYTES !== words[3]) throw new BatchError("bad-header");
	let count = 0;
	for (let run = 0; run < runs; run++) count += words[4 + run * 3 + 1]!;
	if (count > BATCH_LIMIT_PAGES) throw new BatchError("bad-header");
	const pageIndices = new Uint32Array(count);
	const versions = new Uint32Array(count);
	let at = 0;
	for (let run = 0; run < runs; run++) {
		const first = words[4 + run * 3]!;
		const length = words[5 + run * 3]!;
		const version = words[6 + run * 3]!;
		for (let i = 0; i < length; i++, at++) {
			pageIndices[at] = first + i;
			versions[at] = version;
		}
	}
	return { pageIndices, versions, contents: NO_CONTENTS };
}

/** Version 0 is the zero page, and tables of hashes begin with its real hash. */
let zeroHash: Uint32Array | undefined;

/** {@link hashInto} for many pages. */
export function hashPages(pageIndices: Uint32Array, versions: Uint32Array): Uint8Array<ArrayBuffer> {
	const words = new Uint32Array(pageIndices.length * 4);
	for (let i = 0; i < pageIndices.length; i++) hashInto(words, i * 4, pageIndices[i]!, versions[i]!);
	return new Uint8Array(words.buffer);
}

/** Writes the 16 bytes that stand for the hash of a page's version: different for every pair, and cheap. */
export function hashInto(words: Uint32Array, at: number, page: number, version: number): void {
	if (version === 0) {
		zeroHash ??= new Uint32Array(hash128(createEngine(), new Uint8Array(PAGE_BYTES)).slice().buffer);
		words.set(zeroHash, at);
		return;
	}
	words[at] = version;
	words[at + 1] = page ^ 0x9e3779b9;
	words[at + 2] = Math.imul(version ^ (page << 7), 0x85ebca6b);
	words[at + 3] = Math.imul(page + 1, 0xc2b2ae35) ^ version;
}
