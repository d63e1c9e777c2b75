// Guest memory as JavaScript reaches it when it says what it touches: pages that are missing are waited for, and writes are
// marked for the barrier. A program with `hostAccess: "declared"` has no other way in.
//
// JavaScript that reads guest memory on its own while pages are missing gets zeros without an error, and what it writes to
// a missing page is overwritten when the page arrives: nothing in JavaScript can notice that.

/** Memory that is watched while a move needs it. */
export interface MemoryWatch {
	/** Returns once the pages of the range are there. */
	touch(pointer: number, byteLength: number): void;
	/** The range has been written to. */
	wrote(pointer: number, byteLength: number): void;
}

/** Nothing is missing and nobody tracks writes. */
export const UNWATCHED: MemoryWatch = { touch: () => undefined, wrote: () => undefined };

/** A piece of text is looked for its end in steps of this many bytes, so that no page behind it is waited for. */
const TEXT_STEP_BYTES = 4096;

/**
 * A guest's memory for the JavaScript around it. Pointers are byte offsets, as the module's functions take and give them.
 *
 * @example
 * ```ts ignore
 * const pointer = malloc(bytes.length);
 * host.write(pointer, bytes);
 * const text = host.readText(getName());
 * ```
 */
export class HostAccess {
	readonly #memory: () => WebAssembly.Memory;
	readonly #watch: () => MemoryWatch;
	readonly #encoder = new TextEncoder();
	readonly #decoder = new TextDecoder();

	/** Made by the guest. */
	constructor(memory: () => WebAssembly.Memory, watch: () => MemoryWatch) {
		this.#memory = memory;
		this.#watch = watch;
	}

	/** Bytes of the memory now. */
	get byteLength(): number {
		return this.#memory().buffer.byteLength;
	}

	/**
	 * Returns once the pages of this range are there. For JavaScript that then reads memory by itself.
	 * @throws RangeError beyond the memory
	 */
	touch(pointer: number, byteLength: number): void {
		this.#range(pointer, byteLength);
	}

	/** Says that JavaScript has written here by itself, after a {@link touch}. @throws RangeError beyond the memory */
	wrote(pointer: number, byteLength: number): void {
		this.#written(this.#range(pointer, byteLength));
	}

	/** A copy of a range. @throws RangeError beyond the memory */
	read(pointer: number, byteLength: number): Uint8Array<ArrayBuffer> {
		return this.#range(pointer, byteLength).slice();
	}

	/** Writes bytes. @throws RangeError beyond the memory; nothing is written then */
	write(pointer: number, bytes: Uint8Array): void {
		const range = this.#range(pointer, bytes.byteLength);
		range.set(bytes);
		this.#written(range);
	}

	/** The u32 at a pointer, little-endian. */
	readWord(pointer: number): number {
		const { buffer, byteOffset } = this.#range(pointer, 4);
		return new DataView(buffer, byteOffset, 4).getUint32(0, true);
	}

	/** Writes a u32, little-endian. */
	writeWord(pointer: number, value: number): void {
		const range = this.#range(pointer, 4);
		new DataView(range.buffer, range.byteOffset, 4).setUint32(0, value >>> 0, true);
		this.#written(range);
	}

	/** Writes a u64, little-endian. */
	writeLong(pointer: number, value: bigint): void {
		const bytes = new Uint8Array(8);
		new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
		this.write(pointer, bytes);
	}

	/** Makes the memory at least so large, by zero pages. @returns whether it is */
	grow(byteLength: number): boolean {
		const memory = this.#memory();
		const missing = Math.ceil((byteLength - memory.buffer.byteLength) / 65536);
		if (missing <= 0) return true;
		try {
			memory.grow(missing);
			return true;
		} catch {
			return false; // RangeError: the module's maximum, or the runtime's
		}
	}

	/** UTF-8 text of a known length, or up to its zero byte. @throws RangeError when it does not end within the memory */
	readText(pointer: number, byteLength: number = this.#textLength(pointer)): string {
		return this.#decoder.decode(this.read(pointer, byteLength));
	}

	/** UTF-8 bytes of a text, with a zero behind them. */
	encodeText(text: string): Uint8Array<ArrayBuffer> {
		return this.#encoder.encode(`${text}\0`);
	}

	/** Fills a range with a byte. */
	fill(pointer: number, byteLength: number, value: number): void {
		const range = this.#range(pointer, byteLength).fill(value);
		this.#written(range);
	}

	#textLength(given: number): number {
		const pointer = given < 0 ? given >>> 0 : given;
		for (let length = 0; ; ) {
			const step = TEXT_STEP_BYTES - ((pointer + length) % TEXT_STEP_BYTES);
			const at = this.#range(pointer + length, step).indexOf(0);
			if (at >= 0) return length + at;
			length += step;
		}
	}

	/** A view that lasts until the memory grows, its pages here. Modules give pointers beyond 2 GiB as negative numbers. */
	#range(given: number, byteLength: number): Uint8Array<ArrayBuffer> {
		const { buffer } = this.#memory();
		if (!(buffer instanceof ArrayBuffer)) throw new TypeError("memory: a guest's memory is unshared");
		const pointer = given < 0 ? given >>> 0 : given;
		const fits = Number.isInteger(pointer) && Number.isInteger(byteLength) && byteLength >= 0;
		if (!fits || pointer + byteLength > buffer.byteLength)
			throw new RangeError(
				`pointer: ${byteLength} bytes from ${pointer} do not lie in a memory of ${buffer.byteLength} bytes`,
			);
		this.#watch().touch(pointer, byteLength);
		return new Uint8Array(buffer, pointer, byteLength);
	}

	/** A range that has been written to. */
	#written({ byteOffset, byteLength }: Uint8Array): void {
		this.#watch().wrote(byteOffset, byteLength);
	}
}

/** A range that an import reads or writes, told by its arguments. */
export interface AccessDescriptor {
	/** Which argument is the pointer, from 0. */
	readonly pointer: number;
	/** The range's length in bytes: fixed, or another argument. */
	readonly byteLength: number | { readonly argument: number };
	/** The import writes there. Default false: it only reads. */
	readonly writes?: boolean;
}

/** Functions of one imported module. */
export type ImportFunctions = Readonly<Record<string, (...values: never[]) => unknown>>;

/**
 * Imports that reach memory by themselves, made to wait for what they touch: before each call the pages of the described
 * ranges are there, after it those written to are marked. Imports without a descriptor must not touch memory.
 *
 * @throws TypeError for a descriptor without its import
 * @example
 * ```ts ignore
 * const env = declareImports(context.host, { print }, { print: [{ pointer: 0, byteLength: { argument: 1 } }] });
 * ```
 */
export function declareImports(
	host: HostAccess,
	functions: ImportFunctions,
	descriptors: Readonly<Record<string, readonly AccessDescriptor[]>>,
): WebAssembly.ModuleImports {
	for (const name of Object.keys(descriptors))
		if (functions[name] === undefined) throw new TypeError(`descriptors: there is no import ${name}`);
	const declared: WebAssembly.ModuleImports = {};
	for (const [name, f] of Object.entries(functions)) {
		const made = declareImport(host, f, descriptors[name] ?? []);
		declaredImports.add(made);
		declared[name] = made;
	}
	return declared;
}

const declaredImports: WeakSet<object> = new WeakSet();

/** Whether an import comes from {@link declareImports}. */
export function isDeclaredImport(value: unknown): boolean {
	return typeof value === "function" && declaredImports.has(value);
}

function declareImport(
	host: HostAccess,
	f: (...values: never[]) => unknown,
	descriptors: readonly AccessDescriptor[],
): (...values: never[]) => unknown {
	if (descriptors.length === 0) return f;
	return (...values) => {
		const ranges = descriptors.map(({ pointer, byteLength, writes = false }) => ({
			pointer: unsigned(values[pointer]),
			byteLength: typeof byteLength === "number" ? byteLength : unsigned(values[byteLength.argument]),
			writes,
		}));
		for (const { pointer, byteLength } of ranges) host.touch(pointer, byteLength);
		const result = f(...values);
		for (const { pointer, byteLength, writes } of ranges) if (writes) host.wrote(pointer, byteLength);
		return result;
	};
}

/** Pointers come out of a module as signed numbers. */
function unsigned(value: unknown): number {
	if (typeof value !== "number") throw new TypeError("a described argument must be an i32");
	return value >>> 0;
}
