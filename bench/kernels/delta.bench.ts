// Deltas of pages that changed: XBZRLE and our word mask. GB/s counts the new pages.
import { createEngine, type Engine, type Region } from "../../bindings/engine/engine.ts";
import { type Contender, contest, sizeRow } from "../contest.ts";
import { realDumps } from "../inputs/real.ts";
import { changedCopy, noise, PAGE } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "deltas";

const STRIDE = 4224 + 64;
/** A word mask has no more: 8 + 64 + 4096. */
const CAPACITY = { xbzrle: PAGE, wordMask: 4168 } as const;

interface Input {
	readonly name: string;
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	readonly hasGoal: boolean;
}

async function inputs({ smoke }: BenchOptions): Promise<Input[]> {
	const before = noise((smoke ? 64 : 8192) * PAGE);
	const real = await realDumps(smoke ? 1 << 20 : 32 << 20);
	return [
		{ name: "sparse (4 runs ≤ 8 B)", before, after: changedCopy(before, 1, 4, 8), hasGoal: true },
		{ name: "dense (40 runs ≤ 30 B)", before, after: changedCopy(before, 1, 40, 30), hasGoal: false },
		...real.map((dumps) => ({ ...onlyChanged(dumps), name: `${dumps.name}, changed pages`, hasGoal: true })),
	];
}

/** Pages that are the same would be found by comparing; a coder sees those that a tracker reports. */
function onlyChanged({ before, after }: { before: Uint8Array; after: Uint8Array }): {
	before: Uint8Array;
	after: Uint8Array;
} {
	const changed: number[] = [];
	for (let at = 0; at < before.length; at += PAGE)
		if (Buffer.compare(before.subarray(at, at + PAGE), after.subarray(at, at + PAGE)) !== 0) changed.push(at);
	const pick = (bytes: Uint8Array): Uint8Array => {
		// Repeated up to 16 MB, so that the work does not fit the cache.
		const times = Math.max(1, Math.floor((16 << 20) / Math.max(PAGE, changed.length * PAGE)));
		const picked = new Uint8Array(times * changed.length * PAGE);
		for (let i = 0; i < times * changed.length; i++) {
			const at = changed[i % changed.length]!;
			picked.set(bytes.subarray(at, at + PAGE), i * PAGE);
		}
		return picked;
	};
	return { before: pick(before), after: pick(after) };
}

/** XBZRLE as one would write it without an engine. @returns the delta's length, -1 when it does not fit */
function plainEncode(old: Uint8Array, page: Uint8Array, from: number, out: Uint8Array, capacity: number): number {
	let at = from;
	let length = 0;
	const end = from + PAGE;
	const putLength = (value: number): void => {
		if (value > 127) out[length++] = (value & 127) | 128;
		out[length++] = value > 127 ? value >> 7 : value;
	};
	while (at < end) {
		if (length + 2 > capacity) return -1;
		const unchanged = at;
		while (at < end && old[at] === page[at]) at++;
		if (at === end) break;
		putLength(at - unchanged);
		if (length + 2 > capacity) return -1;
		const changed = at;
		while (at < end && old[at] !== page[at]) at++;
		putLength(at - changed);
		if (length + (at - changed) > capacity) return -1;
		for (let i = changed; i < at; i++) out[length++] = page[i]!;
	}
	return length;
}

const FORMATS = { xbzrle: 0, wordMask: 1 } as const;
type Format = keyof typeof FORMATS;

/** Both versions, the deltas and the pages made from them, in one engine: all pages in one call, as in the batch coder. */
class Coders {
	readonly #engine: Engine;
	readonly #pages: number;
	readonly #before: Region;
	readonly #after: Region;
	readonly #deltas: Region;
	readonly #lengths: Region;

	constructor({ before, after }: Input) {
		this.#engine = createEngine();
		this.#pages = before.length / PAGE;
		this.#before = this.#engine.allocate(before.length);
		this.#after = this.#engine.allocate(after.length);
		this.#deltas = this.#engine.allocate(this.#pages * STRIDE);
		this.#lengths = this.#engine.allocate(this.#pages * 4);
		this.#engine.view(this.#before).set(before);
		this.#engine.view(this.#after).set(after);
		this.#engine.prefault();
	}

	/** Of the last encoder that ran. */
	get lengths(): Int32Array {
		return new Int32Array(this.#engine.bytes.buffer, this.#lengths.offset, this.#pages);
	}

	/** The result is the sum of the lengths, as in C. */
	encoder(name: string, format: Format): Contender {
		const { exports } = this.#engine;
		const [old, page, target, lengths] = [this.#before, this.#after, this.#deltas, this.#lengths].map(
			({ offset }) => offset,
		) as [number, number, number, number];
		const [kind, capacity, pages] = [FORMATS[format], CAPACITY[format], this.#pages];
		return { name, run: () => exports.deltaEncodePages(kind, old, page, pages, target, STRIDE, capacity, lengths) };
	}

	/** Applies again and again to the same pages: a delta writes the same bytes each time. */
	decoder(name: string, format: Format, encoder: Contender): Contender {
		encoder.run();
		const copy = (from: Region): Region => {
			const to = this.#engine.allocate(from.byteLength);
			this.#engine.bytes.copyWithin(to.offset, from.offset, from.offset + from.byteLength);
			return to;
		};
		const [deltas, lengths, pages] = [copy(this.#deltas), copy(this.#lengths), copy(this.#before)];
		const { exports } = this.#engine;
		const [kind, count] = [FORMATS[format], this.#pages];
		const run = (): number =>
			exports.deltaDecodePages(kind, deltas.offset, STRIDE, lengths.offset, pages.offset, count);
		run();
		this.#check(this.lengths, pages);
		return { name, run };
	}

	#check(lengths: Int32Array, pages: Region): void {
		const { bytes } = this.#engine;
		for (let i = 0; i < this.#pages; i++) {
			if (lengths[i]! < 0) continue;
			const [made, wanted] = [pages.offset + i * PAGE, this.#after.offset + i * PAGE];
			if (Buffer.compare(bytes.subarray(made, made + PAGE), bytes.subarray(wanted, wanted + PAGE)) !== 0)
				throw new Error(`page ${i} did not come back`);
		}
	}
}

async function inputRows(input: Input, native: NativePeers | undefined, options: BenchOptions): Promise<Row[]> {
	const { name, before, after, hasGoal } = input;
	const coders = new Coders(input);
	await native?.load("a", before);
	await native?.load("b", after);
	const out = new Uint8Array(PAGE);
	const plain: Contender = {
		name: "plain TypeScript",
		run: () => {
			let sum = 0;
			for (let at = 0; at < before.length; at += PAGE) sum += plainEncode(before, after, at, out, PAGE);
			return sum;
		},
	};
	const xbzrle = coders.encoder("our XBZRLE", "xbzrle");
	const wordMask = coders.encoder("word mask", "wordMask");
	const sizes = [xbzrle, wordMask].map((encoder) => {
		encoder.run();
		return coders.lengths.reduce((sum, length) => sum + (length < 0 ? PAGE : length), 0);
	});
	const goal = (value: number): { goal?: number } => (hasGoal ? { goal: value } : {});
	const amount = before.length;
	const contests = [
		{
			name: "XBZRLE encode",
			amount,
			ours: xbzrle,
			peers: [...(await nativePeer(native, "xbzrle-encode", "XBZRLE (C)", goal(1.3))), { contender: plain }],
		},
		{
			name: "XBZRLE decode",
			amount,
			ours: coders.decoder("our XBZRLE", "xbzrle", xbzrle),
			peers: await nativePeer(native, "xbzrle-decode", "XBZRLE (C)", goal(1)),
		},
		{ name: "word mask encode", amount, ours: wordMask, peers: [{ contender: xbzrle, differs: true, ...goal(1.5) }] },
		{
			name: "word mask decode",
			amount,
			ours: coders.decoder("word mask", "wordMask", wordMask),
			peers: [{ contender: coders.decoder("our XBZRLE", "xbzrle", xbzrle), differs: true }],
		},
	];
	const result: Row[] = [];
	for (const one of contests) result.push(...(await contest({ ...one, name: `${one.name}, ${name}` }, options)));
	result.push(sizeRow(`word mask size, ${name}`, sizes[1]!, "our XBZRLE", sizes[0]!));
	return result;
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const native = NativePeers.start();
	const result: Row[] = [];
	for (const input of await inputs(options)) result.push(...(await inputRows(input, native, options)));
	native?.stop();
	return result;
}
