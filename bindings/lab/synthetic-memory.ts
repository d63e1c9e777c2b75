/**
 * Memory of a synthetic guest: a version per page instead of bytes, the bytes of those pages that keep them, and the batches
 * of both. Version 0 is the zero page, and a page's hash stands for (page, version), so digests and verification work as with
 * real memory. What may be done when is the guest's: see `synthetic-guest.ts`.
 */
import { BatchError } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import type { InstalledPages } from "../ports/faulting-guest.ts";
import { type AppliedPages, type EncodedBatch, PAGE_BYTES, type PageBatch } from "../ports/guest.ts";
import type { MissingSet } from "./missing-set.ts";
import { type BatchContents, decodeBatch, encodeBatch, hashInto, hashPages, NO_CONTENTS } from "./synthetic-batch.ts";

/** A raw page in an engine's batch. */
const RAW_PAGE_BYTES: number = PAGE_BYTES + 24;
const ZERO_PAGE_BYTES = 24;
const HEADER_BYTES = 16;

/** One engine for all checksums of the lab: it keeps nothing from one call to the next. */
let checksums: Engine | undefined;

/** What a synthetic guest's memory is made with: see `SyntheticGuestOptions`. */
export interface SyntheticMemoryOptions {
	readonly pageCount: number;
	readonly contents?: boolean;
	readonly filled?: boolean;
	readonly wireBytesPerPage?: number;
}

/** See the head of this file. */
export class SyntheticMemory {
	readonly #keepsContents: boolean;
	readonly #wireBytesPerPage: number;
	readonly #contents = new Map<number, Uint8Array>();
	/** A version per page; another array once it has grown. A field, because a workload's inner loop asks for it. */
	versions: Uint32Array<ArrayBuffer>;

	constructor(options: SyntheticMemoryOptions) {
		const { pageCount, contents = false, filled = false, wireBytesPerPage = RAW_PAGE_BYTES } = options;
		if (!Number.isInteger(pageCount) || pageCount < 1)
			throw new RangeError(`pageCount: must be an integer from 1, got ${pageCount}`);
		this.#keepsContents = contents;
		this.#wireBytesPerPage = wireBytesPerPage;
		this.versions = new Uint32Array(pageCount);
		if (filled) this.versions.fill(1);
	}

	/** Pages it has now. */
	get pageCount(): number {
		return this.versions.length;
	}

	/**
	 * Writes bytes.
	 * @param written - told of each page
	 * @throws {TypeError} for a memory without contents
	 * @throws {RangeError} outside of it
	 */
	write(byteOffset: number, bytes: Uint8Array, written: (page: number) => void): void {
		if (!this.#keepsContents) throw new TypeError("this guest keeps no contents");
		const end = byteOffset + bytes.byteLength;
		if (byteOffset < 0 || end > this.pageCount * PAGE_BYTES) throw new RangeError(`byteOffset: ${byteOffset}`);
		for (let at = byteOffset; at < end; ) {
			const page = Math.floor(at / PAGE_BYTES);
			const until = Math.min(end, (page + 1) * PAGE_BYTES);
			this.#page(page).set(bytes.subarray(at - byteOffset, until - byteOffset), at - page * PAGE_BYTES);
			written(page);
			at = until;
		}
	}

	/** Reads bytes of a memory with contents. */
	read(byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer> {
		const bytes = new Uint8Array(byteLength);
		for (let i = 0; i < byteLength; i++) {
			const page = Math.floor((byteOffset + i) / PAGE_BYTES);
			bytes[i] = this.#contents.get(page)?.[(byteOffset + i) % PAGE_BYTES] ?? 0;
		}
		return bytes;
	}

	/** Adds zero pages up to so many. */
	grow(pageCount: number): void {
		const grown = new Uint32Array(pageCount);
		grown.set(this.versions);
		this.versions = grown;
	}

	/** Gives everything up. */
	clear(): void {
		this.versions = new Uint32Array(0);
		this.#contents.clear();
	}

	/** @throws {RangeError} for pages that it does not have */
	encode(pageIndices: Uint32Array<ArrayBuffer>): PageBatch {
		const versions = new Uint32Array(pageIndices.length);
		const known = this.versions;
		let zeroPages = 0;
		for (let i = 0; i < pageIndices.length; i++) {
			const page = pageIndices[i]!;
			if (page >= known.length) throw new RangeError(`pageIndices: page ${page} of ${known.length}`);
			const version = known[page]!;
			versions[i] = version;
			if (version === 0) zeroPages++;
		}
		const contents: BatchContents = { pageIndices, versions, contents: this.#contentsOf(pageIndices, versions) };
		const bytes = encodeBatch(contents, this.#keepsContents);
		const full = pageIndices.length - zeroPages;
		return {
			bytes,
			checksum: checksum(bytes),
			pageIndices,
			hashes: hashPages(pageIndices, versions),
			zeroPages,
			wireByteLength: Math.round(HEADER_BYTES + full * this.#wireBytesPerPage + zeroPages * ZERO_PAGE_BYTES),
			release: () => undefined,
		};
	}

	/** @throws {BatchError} for bytes that are no batch of this memory's pages, or were changed on the way */
	decode(batch: EncodedBatch): BatchContents {
		if (checksum(batch.bytes) !== batch.checksum) throw new BatchError("bad-checksum");
		return decodeBatch(batch.bytes, this.pageCount);
	}

	/** Puts all pages of a batch in their places. @throws {BatchError} as {@link decode} */
	apply(batch: EncodedBatch): AppliedPages {
		const decoded = this.decode(batch);
		const { pageIndices, versions, contents } = decoded;
		if (contents.size === 0 && this.#contents.size === 0) {
			const known = this.versions;
			for (let i = 0; i < pageIndices.length; i++) known[pageIndices[i]!] = versions[i]!;
		} else for (let i = 0; i < pageIndices.length; i++) this.#put(decoded, i);
		return { pageIndices, hashes: hashPages(pageIndices, versions) };
	}

	/** Puts those pages in their places that are missing. @throws {BatchError} as {@link decode} */
	install(batch: EncodedBatch, missing: MissingSet, taken: () => void): InstalledPages {
		const decoded = this.decode(batch);
		const fresh: number[] = [];
		for (const [i, page] of decoded.pageIndices.entries()) if (missing.has(page)) fresh.push(i);
		for (const i of fresh) this.#put(decoded, i);
		taken();
		for (const i of fresh) missing.arrived(decoded.pageIndices[i]!);
		const pageIndices = Uint32Array.from(fresh, (i) => decoded.pageIndices[i]!);
		const versions = Uint32Array.from(fresh, (i) => decoded.versions[i]!);
		return {
			pageIndices,
			hashes: hashPages(pageIndices, versions),
			duplicates: decoded.pageIndices.length - fresh.length,
		};
	}

	/** @returns 16 bytes a page */
	hashes(firstPage: number, pageCount: number): Uint8Array {
		const words = new Uint32Array(pageCount * 4);
		for (let i = 0; i < pageCount; i++) hashInto(words, i * 4, firstPage + i, this.versions[firstPage + i]!);
		return new Uint8Array(words.buffer);
	}

	#page(page: number): Uint8Array {
		const known = this.#contents.get(page);
		if (known !== undefined) return known;
		const fresh = new Uint8Array(PAGE_BYTES);
		this.#contents.set(page, fresh);
		return fresh;
	}

	#contentsOf(pageIndices: Uint32Array, versions: Uint32Array): ReadonlyMap<number, Uint8Array> {
		if (this.#contents.size === 0) return NO_CONTENTS;
		const kept = new Map<number, Uint8Array>();
		for (const [i, page] of pageIndices.entries()) {
			const content = this.#contents.get(page);
			if (content !== undefined && versions[i]! > 0) kept.set(page, content);
		}
		return kept;
	}

	#put({ pageIndices, versions, contents }: BatchContents, i: number): void {
		const page = pageIndices[i]!;
		this.versions[page] = versions[i]!;
		const content = contents.get(page);
		if (content !== undefined) this.#contents.set(page, content);
		else if (this.#contents.size > 0) this.#contents.delete(page);
	}
}

function checksum(bytes: Uint8Array): bigint {
	checksums ??= createEngine();
	return hash64(checksums, bytes);
}
