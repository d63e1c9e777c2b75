// What the example programs have in common: numbered requests that are executed exactly once, however often they are sent.
// The table of answered numbers is the interpreter's own, in the guest's memory, so it moves along.

/** What a client sends. */
export type ProgramRequest =
	/** Source text to run, once per number; the answer is kept, and given again if the number comes again. */
	| { readonly number: number; readonly request: string }
	/** SHA-256 of a dump of everything the requests have made: equal for equal histories. */
	| { readonly digest: true }
	/** Fills so many MiB of the guest's heap with bytes that do not compress. */
	| { readonly ballastMiB: number };

/** An interpreter in a module's memory. */
export interface Interpreter {
	/** Runs `source` unless `number` was answered before. @returns the answer, of then or of now */
	answer(number: number, source: string): string;
	/** Everything the requests have made, as text. */
	dump(): string;
	/** malloc. @returns 0 without memory */
	allocate(byteLength: number): number;
	memory(): WebAssembly.Memory;
}

/** @returns a program's `call` */
export function answerNumbered(interpreter: Interpreter): (request: unknown) => unknown {
	return (value) => {
		const request = value as ProgramRequest;
		if ("number" in request) return interpreter.answer(request.number, request.request);
		if ("digest" in request) return sha256(interpreter.dump());
		if ("ballastMiB" in request) return fillBallast(interpreter, request.ballastMiB);
		throw new TypeError("a request has a number and a request, or digest, or ballastMiB");
	};
}

async function sha256(text: string): Promise<string> {
	const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
	return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** xorshift32: as good as random to a compressor, and the same on every run. */
function fillBallast(interpreter: Interpreter, mebibytes: number): number {
	const byteLength = mebibytes * 2 ** 20;
	const pointer = interpreter.allocate(byteLength);
	if (pointer === 0) throw new RangeError(`the guest has no room for ${mebibytes} MiB`);
	const words = new Uint32Array(interpreter.memory().buffer, (pointer + 3) & ~3, byteLength / 4 - 1);
	let x = 0x9e3779b9 ^ pointer;
	for (let i = 0; i < words.length; i++) {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		words[i] = x;
	}
	return pointer;
}

/** UTF-8 in a C heap. Views are taken anew each time: growth detaches them. */
export class CStrings {
	readonly #memory: () => WebAssembly.Memory;
	readonly #allocate: (byteLength: number) => number;
	readonly #encoder = new TextEncoder();
	readonly #decoder = new TextDecoder();

	constructor(memory: () => WebAssembly.Memory, allocate: (byteLength: number) => number) {
		this.#memory = memory;
		this.#allocate = allocate;
	}

	/** @returns where a zero-terminated copy lies, and its length without the zero; the caller frees it */
	write(text: string): { readonly pointer: number; readonly byteLength: number } {
		const bytes = this.#encoder.encode(text);
		const pointer = this.#allocate(bytes.byteLength + 1);
		if (pointer === 0) throw new RangeError("the guest's heap is full");
		const heap = new Uint8Array(this.#memory().buffer);
		heap.set(bytes, pointer);
		heap[pointer + bytes.byteLength] = 0;
		return { pointer, byteLength: bytes.byteLength };
	}

	/** The text at `pointer`, to its zero. */
	read(pointer: number): string {
		if (pointer === 0) return "";
		const heap = new Uint8Array(this.#memory().buffer);
		return this.#decoder.decode(heap.slice(pointer, heap.indexOf(0, pointer)));
	}

	/** The u32 at `pointer`. */
	word(pointer: number): number {
		return new DataView(this.#memory().buffer).getUint32(pointer, true);
	}
}

/** Pointers that JavaScript holds, as the bytes that travel with a guest. */
export function packPointers(...pointers: readonly number[]): Uint8Array {
	return new Uint8Array(Uint32Array.from(pointers).buffer);
}

/** @throws RangeError for other bytes than {@link packPointers} made for so many */
export function unpackPointers(bytes: Uint8Array, count: number): number[] {
	if (bytes.byteLength !== count * 4) throw new RangeError(`expected ${count} pointers, got ${bytes.byteLength} bytes`);
	return [...new Uint32Array(bytes.slice().buffer)];
}
