// The engine: one WebAssembly instance with its own memory, and the regions in it.
//
// Invariants: regions are handed out upwards and never move, so an offset stays valid for the engine's life; the memory
// grows only in `allocate`, which detaches every view, so views are derived here and nobody keeps one across a call that
// may allocate. One handle owns one region; dropping the engine frees everything at once.
import { instantiate, instantiateSync } from "@assemblyscript/loader";
import { engineBase64 } from "./bytes.ts";
import type { EngineExports } from "./exports.ts";
import { HEAP_OFFSET, MEMORY_LIMIT_BYTES, SECRET_OFFSET, WASM_PAGE_BYTES } from "./layout.ts";

/** A part of the engine's memory that one handle owns. Plain data: bytes are reached through {@link Engine.view}. */
export interface Region {
	/** Byte offset in the engine's memory. Stays valid for the engine's life. */
	readonly offset: number;
	/** Bytes. */
	readonly byteLength: number;
}

/** @returns the bytes of a base64 string, on every runtime without a dependency. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
	const binary = atob(text);
	const bytes = new Uint8Array(binary.length);
	for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
	return bytes;
}

/**
 * Checks that `value` is an integer of [minimum, maximum].
 *
 * @param name the argument's name, for the message
 * @throws RangeError naming the argument
 */
export function checkInteger(name: string, value: number, minimum: number, maximum: number): void {
	if (!Number.isInteger(value) || value < minimum || value > maximum)
		throw new RangeError(`${name} must be an integer from ${minimum} to ${maximum}, got ${value}`);
}

/**
 * One engine instance. Not shared between guests: create one per guest, or one per operation.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * const engine = createEngine();
 * const region = engine.allocate(8192);
 * engine.view(region).fill(7);
 * ```
 */
export class Engine {
	/** The raw exports: for the handles of this folder only. */
	readonly exports: EngineExports;
	#end = HEAP_OFFSET;
	#disposed = false;
	#bytes: Uint8Array<ArrayBuffer>;
	#words: Uint32Array<ArrayBuffer>;

	/** @param exports of a fresh instance of the engine's module */
	constructor(exports: EngineExports) {
		this.exports = exports;
		const buffer = exports.memory.buffer as ArrayBuffer;
		this.#bytes = new Uint8Array(buffer);
		this.#words = new Uint32Array(buffer);
		exports.hashSetUp(SECRET_OFFSET);
	}

	/** The whole memory as bytes. Valid until the next {@link allocate}: use it at once, keep no reference. */
	get bytes(): Uint8Array<ArrayBuffer> {
		return this.#bytes;
	}

	/** The whole memory as u32 (little-endian, as WebAssembly is). Valid until the next {@link allocate}. */
	get words(): Uint32Array<ArrayBuffer> {
		return this.#words;
	}

	/** Bytes handed out or reserved so far: what this engine costs. */
	get usedBytes(): number {
		return this.#end;
	}

	/**
	 * Hands out a fresh, zeroed region, growing the memory where needed. Detaches earlier views.
	 *
	 * @param byteLength bytes
	 * @param align a power of two, 64 by default (a cache line)
	 * @throws RangeError for a wrong length or alignment, or when the memory cannot grow that far
	 */
	allocate(byteLength: number, align = 64): Region {
		if (this.#disposed) throw new TypeError("engine is disposed");
		checkInteger("byteLength", byteLength, 0, MEMORY_LIMIT_BYTES);
		checkInteger("align", align, 1, 65536);
		if ((align & (align - 1)) !== 0) throw new RangeError(`align must be a power of two, got ${align}`);
		const offset = Math.ceil(this.#end / align) * align;
		const end = offset + byteLength;
		if (end > MEMORY_LIMIT_BYTES)
			throw new RangeError(`byteLength: the engine's memory would exceed ${MEMORY_LIMIT_BYTES} bytes`);
		const missing = end - this.#bytes.byteLength;
		if (missing > 0) {
			try {
				this.exports.memory.grow(Math.ceil(missing / WASM_PAGE_BYTES));
			} catch (cause) {
				throw new RangeError(`byteLength: the runtime refuses ${end} bytes of engine memory`, { cause });
			}
			const buffer = this.exports.memory.buffer as ArrayBuffer;
			this.#bytes = new Uint8Array(buffer);
			this.#words = new Uint32Array(buffer);
		}
		this.#end = end;
		return { offset, byteLength };
	}

	/**
	 * A view of a region's bytes. Valid until the next {@link allocate}.
	 *
	 * @throws RangeError when the region does not lie in what this engine handed out
	 */
	view(region: Region): Uint8Array<ArrayBuffer> {
		this.checkRegion("region", region, region.byteLength);
		return this.#bytes.subarray(region.offset, region.offset + region.byteLength);
	}

	/**
	 * Checks that a region belongs to this engine's memory and holds at least `byteLength` bytes.
	 *
	 * @param name the argument's name, for the message
	 * @throws RangeError naming the argument
	 */
	checkRegion(name: string, region: Region, byteLength: number): void {
		const { offset, byteLength: held } = region;
		if (!Number.isInteger(offset) || offset < HEAP_OFFSET || !(held >= 0 && offset + held <= this.#end))
			throw new RangeError(`${name} is no region of this engine`);
		if (byteLength > held) throw new RangeError(`${name} holds ${held} bytes, needs ${byteLength}`);
	}

	/**
	 * Touches every page, so that the first pass over a region does not pay for page faults (first touch of fresh
	 * memory runs at 0.35 GB/s, a second pass at memory speed).
	 *
	 * @param region one region; everything handed out so far when left out
	 */
	prefault(region?: Region): void {
		const { offset, byteLength } = region ?? { offset: HEAP_OFFSET, byteLength: this.#end - HEAP_OFFSET };
		this.checkRegion("region", { offset, byteLength }, byteLength);
		this.exports.prefault(offset, byteLength);
	}

	/** Drops the views and refuses further regions; the memory is freed once no handle refers to this engine. */
	dispose(): void {
		this.#disposed = true;
		this.#bytes = new Uint8Array(0);
		this.#words = new Uint32Array(0);
	}
}

/** The module as compiled for the first engine of this thread: the second one costs 0.1 ms instead of 3. */
let compiled: WebAssembly.Module | undefined;

/**
 * Creates an engine at once from the inlined module: about 3 ms the first time. Browsers' main threads refuse synchronous compilation of
 * large modules: use {@link createEngineAsync} there.
 *
 * @param module an already compiled engine module, to compile only once for many engines
 */
export function createEngine(module?: WebAssembly.Module): Engine {
	compiled ??= module ?? compileEngine();
	const { instance } = instantiateSync(module ?? compiled, {});
	return new Engine(instance.exports as unknown as EngineExports);
}

/**
 * Creates an engine without blocking the thread while the module compiles.
 *
 * @param module an already compiled engine module
 */
export async function createEngineAsync(module?: WebAssembly.Module): Promise<Engine> {
	const { instance } = await instantiate(module ?? decodeBase64(engineBase64), {});
	return new Engine(instance.exports as unknown as EngineExports);
}

/** Compiles the engine's module, for {@link createEngine} in many workers: a module can be posted to them. */
export function compileEngine(): WebAssembly.Module {
	return new WebAssembly.Module(decodeBase64(engineBase64));
}
