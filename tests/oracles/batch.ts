// Batches the slow way, straight from the layout in bindings/engine/batch.ts, with the hashes of hash-wasm.
import { createXXHash3, createXXHash128, type IHasher } from "hash-wasm";
import { decodeWordMask, decodeXbzrle } from "./delta.ts";
import { decodeLz4 } from "./lz4.ts";

const xxh64: IHasher = await createXXHash3();
const xxh128: IHasher = await createXXHash128();

/** XXH3-128 as a batch stores it: low u64, high u64, little-endian (hash-wasm gives the canonical, big-endian order). */
export function pageHash(page: Uint8Array): Uint8Array {
	return xxh128.init().update(page).digest("binary").reverse();
}

/** XXH3-64 as a number. */
export function hash64(bytes: Uint8Array): bigint {
	return BigInt(`0x${xxh64.init().update(bytes).digest("hex")}`);
}

/** What travels with a batch: XXH3-64 of its header, its table and the payloads that are not raw pages. */
export function checksum(bytes: Uint8Array): bigint {
	const pages = readBatch(bytes);
	xxh64.init().update(bytes.subarray(0, 16 + 24 * pages.length));
	for (const { kind, payload } of pages) if (kind !== 1) xxh64.update(payload);
	return BigInt(`0x${xxh64.digest("hex")}`);
}

/** One page as a batch carries it. */
export interface CarriedPage {
	readonly pageIndex: number;
	readonly kind: number;
	readonly payload: Uint8Array;
	readonly hash: Uint8Array;
}

/** Lays pages out as a batch, whatever they say. */
export function writeBatch(pages: readonly CarriedPage[]): Uint8Array {
	const payloadBytes = pages.reduce((sum, { payload }) => sum + payload.length, 0);
	const bytes = new Uint8Array(16 + pages.length * 24 + payloadBytes);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, pages.length, true);
	view.setUint32(8, pages.length * 24, true);
	view.setUint32(12, payloadBytes, true);
	let at = 16 + pages.length * 24;
	pages.forEach(({ pageIndex, kind, payload, hash }, position) => {
		const entry = 16 + position * 24;
		view.setUint32(entry, pageIndex, true);
		view.setUint32(entry + 4, ((kind << 24) | payload.length) >>> 0, true);
		bytes.set(hash, entry + 8);
		bytes.set(payload, at);
		at += payload.length;
	});
	return bytes;
}

const EMPTY = new Uint8Array(0);

/** A page without compression: zero or raw. */
export function carry(pageIndex: number, page: Uint8Array): CarriedPage {
	const isZero = page.every((byte) => byte === 0);
	return { pageIndex, kind: isZero ? 0 : 1, payload: isZero ? EMPTY : page, hash: pageHash(page) };
}

/** Reads a batch back without checking its structure. */
export function readBatch(bytes: Uint8Array): CarriedPage[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const count = view.getUint32(0, true);
	let at = 16 + count * 24;
	return Array.from({ length: count }, (_, position) => {
		const entry = 16 + position * 24;
		const word = view.getUint32(entry + 4, true);
		const payload = bytes.subarray(at, at + (word & 0xffffff));
		at += word & 0xffffff;
		return {
			pageIndex: view.getUint32(entry, true),
			kind: word >>> 24,
			payload,
			hash: bytes.subarray(entry + 8, entry + 24),
		};
	});
}

/** @returns the page that a carried page stands for; `base` is what the receiver has of it */
export function expand({ kind, payload }: CarriedPage, base?: Uint8Array): Uint8Array {
	if (kind === 0) return new Uint8Array(4096);
	if (kind === 1) return payload;
	const page =
		kind === 2
			? decodeLz4(payload, 4096)
			: kind === 3
				? base
				: kind === 4
					? decodeXbzrle(payload, base!)?.page
					: decodeWordMask(payload, base!);
	if (page?.length !== 4096) throw new Error(`kind ${kind} does not expand to a page`);
	return page;
}
