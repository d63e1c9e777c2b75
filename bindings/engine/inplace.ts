// Kernels over a guest's own WebAssembly memory: scan, compare and hash where the pages lie, without a copy.
//
// A second small module imports the guest's memory (assembly/inplace.ts); results pass to the engine wasm to wasm. Nothing is
// ever written to the guest here. The guest's memory may grow between calls: its size is read at each.
import { instantiateSync } from "@assemblyscript/loader";
import type { Bitmap } from "./bitmap.ts";
import { inplaceBase64 } from "./bytes.ts";
import { checkPages } from "./compare.ts";
import { checkInteger, decodeBase64, type Engine, type Region } from "./engine.ts";
import type { InplaceExports } from "./exports.ts";
import { HASH_BYTES } from "./hash.ts";
import { PAGE_BYTES, STAGING_BYTES, STAGING_OFFSET } from "./layout.ts";

/** Compiles the in-place module, to instantiate it over many memories. */
export function compileInplace(): WebAssembly.Module {
	return new WebAssembly.Module(decodeBase64(inplaceBase64));
}

/**
 * In-place kernels over one guest memory, delivering to one engine.
 *
 * @example
 * ```ts
 * import { Bitmap } from "./bitmap.ts";
 * import { createEngine } from "./engine.ts";
 * import { GuestMemoryKernels } from "./inplace.ts";
 * const engine = createEngine();
 * const memory = new WebAssembly.Memory({ initial: 1 });
 * const guest = new GuestMemoryKernels(engine, memory);
 * const shadow = engine.allocate(guest.pageCount * 4096);
 * new Uint8Array(memory.buffer)[4096] = 1;
 * const dirty = new Bitmap(engine, guest.pageCount);
 * guest.compareToShadow(shadow, 0, guest.pageCount, dirty); // 1: page 1
 * ```
 */
export class GuestMemoryKernels {
	readonly #engine: Engine;
	readonly #memory: WebAssembly.Memory;
	readonly #exports: InplaceExports;

	/**
	 * @param engine that receives the results and holds shadows
	 * @param memory the guest's memory, unshared
	 * @param module the in-place module if already compiled
	 * @throws TypeError for a shared memory: unshared and shared memories need different modules
	 */
	constructor(engine: Engine, memory: WebAssembly.Memory, module?: WebAssembly.Module) {
		if (!(memory.buffer instanceof ArrayBuffer)) throw new TypeError("memory must be unshared");
		const { inplaceWord, inplaceDiffers, inplaceHash } = engine.exports;
		const { instance } = instantiateSync(module ?? decodeBase64(inplaceBase64), {
			env: { memory },
			engine: { inplaceWord, inplaceDiffers, inplaceHash },
		});
		this.#engine = engine;
		this.#memory = memory;
		this.#exports = instance.exports as unknown as InplaceExports;
	}

	/** Pages of 4096 bytes the guest has now; grows with its memory. */
	get pageCount(): number {
		return this.#memory.buffer.byteLength / PAGE_BYTES;
	}

	/**
	 * Sets bit i of `into` for every page i of [first, first + count) that differs from page i of the shadow; other bits stay.
	 *
	 * @param shadow a region of the engine: page i at byte 4096 i
	 * @param at where page `first` lies in a shadow of only a part, and its bit in a bitmap of only a part
	 * @returns pages that differ
	 * @throws RangeError when the guest, the shadow or the bitmap is too small
	 */
	compareToShadow(
		shadow: Region,
		first: number,
		count: number,
		into: Bitmap,
		at: { readonly shadowPage?: number; readonly bit?: number } = {},
	): number {
		const { shadowPage = first, bit = first } = at;
		this.#checkGuest(first, count);
		const offset = checkPages(this.#engine, "shadow", shadow, shadowPage, count);
		this.#checkBitmap(into, bit, count);
		return this.#exports.inplaceCompare(first, count, offset, into.region.offset, into.blockCount, bit);
	}

	/**
	 * Sets bit i of `into` for every page i of [first, first + count) that is all zero; other bits stay.
	 *
	 * @returns zero pages
	 * @throws RangeError when the guest or the bitmap is too small
	 */
	zeroPages(first: number, count: number, into: Bitmap): number {
		this.#checkGuest(first, count);
		this.#checkBitmap(into, first, count);
		return this.#exports.inplaceZero(first, count, into.region.offset, into.blockCount, first);
	}

	/**
	 * XXH3-128 of pages first … first + count − 1.
	 *
	 * @returns 16 bytes per page
	 * @throws RangeError when the guest is smaller
	 */
	hashPages(first: number, count: number): Uint8Array<ArrayBuffer> {
		this.#checkGuest(first, count);
		const result = new Uint8Array(count * HASH_BYTES);
		const perPiece = STAGING_BYTES / HASH_BYTES;
		const { bytes } = this.#engine;
		for (let done = 0; done < count; done += perPiece) {
			const piece = Math.min(count - done, perPiece);
			this.#exports.inplaceHashPages(first + done, piece, STAGING_OFFSET);
			result.set(bytes.subarray(STAGING_OFFSET, STAGING_OFFSET + piece * HASH_BYTES), done * HASH_BYTES);
		}
		return result;
	}

	/**
	 * XXH3-128 of pages first … first + count − 1 into a region of the engine, hash i of the call at byte 16 i.
	 *
	 * @throws RangeError when the guest or the region is too small
	 */
	hashPagesInto(first: number, count: number, into: Region): void {
		this.#checkGuest(first, count);
		this.#engine.checkRegion("into", into, count * HASH_BYTES);
		this.#exports.inplaceHashPages(first, count, into.offset);
	}

	/**
	 * Copies pages first … first + count − 1 into a region of the engine, from its page `target` on.
	 *
	 * By TypedArray.set, which is memcpy: 21 GB/s on 64 MiB.
	 *
	 * @throws RangeError when the guest or the region is too small
	 */
	copyOut(first: number, count: number, into: Region, target: number = first): void {
		this.#checkGuest(first, count);
		const offset = checkPages(this.#engine, "into", into, target, count);
		const pages = new Uint8Array(this.#memory.buffer, first * PAGE_BYTES, count * PAGE_BYTES);
		this.#engine.bytes.set(pages, offset);
	}

	#checkGuest(first: number, count: number): void {
		const held = this.pageCount;
		checkInteger("first", first, 0, held);
		checkInteger("count", count, 0, held - first);
	}

	#checkBitmap(into: Bitmap, first: number, count: number): void {
		if (into.engine !== this.#engine) throw new TypeError("into belongs to another engine");
		into.checkRange(first, count);
		into.noteWritten();
	}
}
