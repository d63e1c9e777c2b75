/**
 * What can go wrong with a simulated stream, as plain data: a plan is a list of faults, and a plan and a seed are all a
 * failure needs to be played again.
 *
 * Offsets count the bytes one end has written, from 0. A fault on bytes that never pass never happens.
 */
import type { Random } from "../ports/random.ts";

/** The ends of a stream; a direction is named by the end that writes. */
export type StreamEnd = "a" | "b";

/** A moment: of virtual time since the stream was opened, or when so many bytes have been written at one end. */
export type FaultMoment = { readonly atMs: number } | { readonly from: StreamEnd; readonly afterBytes: number };

/** One fault. */
export type StreamFault =
	/** The connection breaks for both ends; what has not arrived is gone. */
	| { readonly kind: "cut"; readonly when: FaultMoment }
	/** Nothing passes, either way, for a time (Infinity: for ever); nobody is told. */
	| { readonly kind: "stall"; readonly when: FaultMoment; readonly durationMs: number }
	/** Nothing that `from` writes passes for a time; the other direction does. */
	| { readonly kind: "partition"; readonly when: FaultMoment; readonly from: StreamEnd; readonly durationMs: number }
	/** One end reads nothing and writes nothing for a time, as a stopped process does. */
	| { readonly kind: "freeze"; readonly when: FaultMoment; readonly end: StreamEnd; readonly durationMs: number }
	/** One bit arrives wrong. */
	| { readonly kind: "flip"; readonly from: StreamEnd; readonly offset: number; readonly bit: number }
	/** Everything from `offset` on is missing, and the peer seems to have closed in order: what a killed process looks like. */
	| { readonly kind: "truncate"; readonly from: StreamEnd; readonly offset: number }
	/** Some bytes are missing. */
	| { readonly kind: "drop"; readonly from: StreamEnd; readonly offset: number; readonly byteLength: number }
	/** Some bytes arrive twice. */
	| { readonly kind: "duplicate"; readonly from: StreamEnd; readonly offset: number; readonly byteLength: number }
	/** Some bytes change places with as many that follow them. */
	| { readonly kind: "reorder"; readonly from: StreamEnd; readonly offset: number; readonly byteLength: number };

/** Where {@link drawFault} may put a fault. */
export interface FaultSpace {
	/** Latest moment, in ms. */
	readonly durationMs: number;
	/** Highest offset. */
	readonly byteLength: number;
	/** Faults to choose from; all by default. */
	readonly kinds?: readonly StreamFault["kind"][];
}

const KINDS: readonly StreamFault["kind"][] = [
	"cut",
	"stall",
	"partition",
	"freeze",
	"flip",
	"truncate",
	"drop",
	"duplicate",
	"reorder",
];

/** Draws a fault: the same seed, the same fault. */
export function drawFault(random: Random, space: FaultSpace): StreamFault {
	const kinds = space.kinds ?? KINDS;
	const kind = kinds[below(random, kinds.length)];
	if (kind === undefined) throw new RangeError("space.kinds must name at least one fault");
	const from: StreamEnd = below(random, 2) === 0 ? "a" : "b";
	const when: FaultMoment = { atMs: (random.nextU32() / 2 ** 32) * space.durationMs };
	const offset = below(random, Math.max(1, space.byteLength));
	const byteLength = 1 + below(random, 4096);
	const durationMs =
		below(random, 2) === 0 ? Number.POSITIVE_INFINITY : (random.nextU32() / 2 ** 32) * space.durationMs;
	switch (kind) {
		case "cut":
			return { kind, when };
		case "stall":
			return { kind, when, durationMs };
		case "partition":
			return { kind, when, from, durationMs };
		case "freeze":
			return { kind, when, end: from, durationMs };
		case "flip":
			return { kind, from, offset, bit: below(random, 8) };
		case "truncate":
			return { kind, from, offset };
		default:
			return { kind, from, offset, byteLength };
	}
}

function below(random: Random, limit: number): number {
	return Math.floor((random.nextU32() / 2 ** 32) * limit);
}

/** Faults that change the bytes one end has written. */
export type ByteFault = Extract<StreamFault, { offset: number }>;

/**
 * The bytes of one direction on their way: applies byte faults, whatever the pieces in which the bytes come.
 */
export class ByteFaults {
	readonly #faults: ByteFault[];
	/** Bytes that a fault needs together and that are not all here yet; begins at `#offset`. */
	#held: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	#offset = 0;
	#ended = false;

	/** @param faults - the byte faults of this direction. Two that touch the same bytes act on what the first has left. */
	constructor(faults: readonly ByteFault[]) {
		this.#faults = [...faults].sort((x, y) => x.offset - y.offset);
	}

	/** Whether a truncation has been passed: nothing comes after it. */
	get ended(): boolean {
		return this.#ended;
	}

	/** What arrives of `bytes`; may hold some back until the next call. */
	pass(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
		if (this.#ended) return new Uint8Array(0);
		if (this.#faults.length === 0 && this.#held.byteLength === 0) return bytes;
		let rest = joinBytes([this.#held, bytes]);
		const passed: Uint8Array[] = [];
		for (let fault = this.#faults[0]; fault !== undefined; fault = this.#faults[0]) {
			const start = Math.max(0, fault.offset - this.#offset);
			const end = start + span(fault);
			if (rest.byteLength < end || start >= rest.byteLength) {
				// Too little is here: pass what comes before the fault, hold the rest back.
				const clear = Math.min(start, rest.byteLength);
				passed.push(rest.subarray(0, clear));
				this.#hold(rest, clear);
				return joinBytes(passed);
			}
			this.#faults.shift();
			passed.push(rest.subarray(0, start), this.#apply(fault, rest.slice(start, end)));
			this.#offset += end;
			rest = rest.subarray(end);
			if (this.#ended) return joinBytes(passed);
		}
		passed.push(rest);
		this.#hold(rest, rest.byteLength);
		return joinBytes(passed);
	}

	/** What is still held back, when the writer has closed: a fault that never came to be. */
	flush(): Uint8Array<ArrayBuffer> {
		const held = this.#held;
		this.#held = new Uint8Array(0);
		return held;
	}

	#hold(rest: Uint8Array<ArrayBuffer>, from: number): void {
		this.#held = rest.slice(from);
		this.#offset += from;
	}

	#apply(fault: ByteFault, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
		switch (fault.kind) {
			case "flip":
				bytes[0]! ^= 1 << fault.bit;
				return bytes;
			case "truncate":
				this.#ended = true;
				return new Uint8Array(0);
			case "drop":
				return new Uint8Array(0);
			case "duplicate":
				return joinBytes([bytes, bytes]);
			case "reorder":
				return joinBytes([bytes.subarray(fault.byteLength), bytes.subarray(0, fault.byteLength)]);
		}
	}
}

/** How many bytes a fault needs together. */
function span(fault: ByteFault): number {
	if (fault.kind === "flip") return 1;
	if (fault.kind === "truncate") return 0;
	return fault.kind === "reorder" ? 2 * fault.byteLength : fault.byteLength;
}

/** One array of all parts. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
	const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
	let at = 0;
	for (const part of parts) {
		joined.set(part, at);
		at += part.byteLength;
	}
	return joined;
}
