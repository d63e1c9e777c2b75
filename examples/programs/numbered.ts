// What the example programs have in common: numbered requests that are executed exactly once, however often they are sent.
// The table of answered numbers is the interpreter's own, in the guest's memory, so it moves along.

import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";

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
	readonly host: HostAccess;
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

const BALLAST_STEP_BYTES = 65_536;

/** xorshift32: as good as random to a compressor, and the same on every run. */
function fillBallast(interpreter: Interpreter, mebibytes: number): number {
	const byteLength = mebibytes * 2 ** 20;
	const pointer = interpreter.allocate(byteLength);
	if (pointer === 0) throw new RangeError(`the guest has no room for ${mebibytes} MiB`);
	const words = new Uint32Array(BALLAST_STEP_BYTES / 4);
	let x = 0x9e3779b9 ^ pointer;
	for (let at = 0; at < byteLength; at += BALLAST_STEP_BYTES) {
		for (let i = 0; i < words.length; i++) {
			x ^= x << 13;
			x ^= x >>> 17;
			x ^= x << 5;
			words[i] = x;
		}
		interpreter.host.write(pointer + at, new Uint8Array(words.buffer));
	}
	return pointer;
}

/** UTF-8 in a C heap. */
export class CStrings {
	readonly #host: HostAccess;
	readonly #allocate: (byteLength: number) => number;

	constructor(host: HostAccess, allocate: (byteLength: number) => number) {
		this.#host = host;
		this.#allocate = allocate;
	}

	/** @returns where a zero-terminated copy lies, and its length without the zero; the caller frees it */
	write(text: string): { readonly pointer: number; readonly byteLength: number } {
		const bytes = this.#host.encodeText(text);
		const pointer = this.#allocate(bytes.byteLength);
		if (pointer === 0) throw new RangeError("the guest's heap is full");
		this.#host.write(pointer, bytes);
		return { pointer, byteLength: bytes.byteLength - 1 };
	}

	/** The text at `pointer`, to its zero. */
	read(pointer: number): string {
		return pointer === 0 ? "" : this.#host.readText(pointer);
	}

	/** The u32 at `pointer`. */
	word(pointer: number): number {
		return this.#host.readWord(pointer);
	}
}

/** Answers in the guest's memory, for modules that have nothing to keep them in: a table of pointers, by number. */
export class AnswerTable {
	readonly #strings: CStrings;
	readonly #host: HostAccess;
	/** Where it lies: what JavaScript holds of it. */
	pointer = 0;

	constructor(host: HostAccess, strings: CStrings) {
		this.#host = host;
		this.#strings = strings;
	}

	/** The first act of a new guest. @param byteLength of an allocation for {@link AnswerTable.ENTRIES} numbers */
	open(allocate: (byteLength: number) => number): void {
		this.pointer = allocate(AnswerTable.ENTRIES * 4);
		this.#host.fill(this.pointer, AnswerTable.ENTRIES * 4, 0);
	}

	static readonly ENTRIES = 16_384;

	/** The answer of a number, made by `make` if it has none. */
	answer(number: number, make: () => string): string {
		if (!(number >= 0 && number < AnswerTable.ENTRIES)) throw new RangeError(`number ${number} is beyond the table`);
		const entry = this.pointer + number * 4;
		const known = this.#host.readWord(entry);
		if (known !== 0) return this.#strings.read(known);
		const answer = make();
		this.#host.writeWord(entry, this.#strings.write(answer).pointer);
		return answer;
	}

	/** All answers, as text. */
	dump(): string {
		const answers: string[] = [];
		for (let number = 0; number < AnswerTable.ENTRIES; number++) {
			const known = this.#host.readWord(this.pointer + number * 4);
			if (known !== 0) answers.push(`${number}: ${this.#strings.read(known)}`);
		}
		return answers.join("\n");
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
