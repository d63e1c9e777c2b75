// The batch coder: pages to bytes and back, in batches of 64. GB/s counts the pages. The peer is the copy that any sender
// and any receiver makes at least; it does not verify.
import { BatchDecoder, BatchEncoder, type BatchEncoderOptions, batchLimitBytes } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { type Contender, contest } from "../contest.ts";
import { sqliteDumps } from "../inputs/real.ts";
import { changedCopy, mixedMemory, noise, PAGE } from "../inputs/synthetic.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "batch coder";

const BATCH = 64;
/** A link at 1 Gbit/s, and one that is faster than any compressor. */
const LINKS = { "117 MB/s": 117_000, "10 GB/s": 10_000_000 } as const;

const KINDS = ["zero", "unchanged", "delta", "lz4", "raw"] as const;

interface Input {
	readonly name: string;
	readonly memory: Uint8Array;
	/** A version that was sent before. */
	readonly sent?: Uint8Array;
}

async function inputs({ smoke }: BenchOptions): Promise<Input[]> {
	const pages = smoke ? 128 : 8192;
	const random = noise(pages * PAGE);
	const sqlite = await sqliteDumps(pages * PAGE, true);
	const whole = (bytes: Uint8Array): Uint8Array =>
		bytes.subarray(0, Math.floor(bytes.length / PAGE / BATCH) * PAGE * BATCH);
	return [
		{ name: "zeros", memory: new Uint8Array(pages * PAGE) },
		{ name: "noise", memory: random },
		{ name: "half zero, a third compressible", memory: mixedMemory(pages) },
		{ name: "SQLite", memory: whole(sqlite.after) },
		{ name: "SQLite, sent before", memory: whole(sqlite.after), sent: whole(sqlite.before) },
		{ name: "noise, a tenth changed", memory: changedCopy(random, 0.1, 4, 16), sent: random },
	];
}

/** Encodes all of the memory, batch by batch, from a region of the engine. */
class Sender {
	readonly #encoder: BatchEncoder;
	readonly #region: { readonly offset: number; readonly byteLength: number };
	readonly #engine = createEngine();
	readonly #into = new Uint8Array(batchLimitBytes(BATCH));
	readonly #lists: Uint32Array[];
	byteLength = 0;
	/** Pages by what was chosen for them. */
	readonly #chosen = new Map<string, number>();

	constructor(memory: Uint8Array, options: BatchEncoderOptions) {
		this.#encoder = new BatchEncoder(this.#engine, { maxPages: BATCH, now: () => performance.now(), ...options });
		this.#region = this.#engine.allocate(memory.length);
		this.#engine.prefault();
		const pages = memory.length / PAGE;
		this.#lists = Array.from({ length: Math.ceil(pages / BATCH) }, (_, batch) =>
			Uint32Array.from({ length: Math.min(BATCH, pages - batch * BATCH) }, (_, i) => batch * BATCH + i),
		);
		this.load(memory);
	}

	load(memory: Uint8Array): void {
		this.#engine.view(this.#region).set(memory);
	}

	send(linkBytesPerMs: number, each?: (bytes: Uint8Array) => void): number {
		let sum = 0;
		this.#chosen.clear();
		const source = { kind: "region", region: this.#region, firstPage: 0 } as const;
		for (const pageIndices of this.#lists) {
			const batch = this.#encoder.encode({ pageIndices, source, linkBytesPerMs, into: this.#into });
			sum += batch.byteLength;
			for (const kind of KINDS) this.#chosen.set(kind, (this.#chosen.get(kind) ?? 0) + batch[`${kind}Pages`]);
			each?.(batch.bytes);
		}
		this.byteLength = sum;
		return sum;
	}

	/** What was chosen for the pages of the last sending, in percent. */
	get choice(): string {
		const total = [...this.#chosen.values()].reduce((sum, pages) => sum + pages, 0);
		return [...this.#chosen]
			.filter(([, pages]) => pages > 0)
			.map(([kind, pages]) => `${kind} ${((100 * pages) / total).toFixed(0)} %`)
			.join(", ");
	}
}

function copier(name: string, memory: Uint8Array, target: Uint8Array): Contender {
	const run = (): number => {
		for (let at = 0; at < memory.length; at += BATCH * PAGE) target.set(memory.subarray(at, at + BATCH * PAGE), at);
		return target[target.length >> 1]!;
	};
	return { name, run };
}

async function linkRows(input: Input, link: keyof typeof LINKS, options: BenchOptions): Promise<Row[]> {
	const { name, memory, sent } = input;
	const rate = LINKS[link];
	const pages = memory.length / PAGE;
	const sender = new Sender(memory, sent === undefined ? {} : { sentPages: pages });
	const target = new Uint8Array(memory.length);
	const decoder = new BatchDecoder(createEngine(), { maxPages: BATCH });
	const batches: Uint8Array[] = [];
	if (sent !== undefined) {
		sender.load(sent);
		sender.send(rate);
		sender.load(memory);
		target.set(sent);
	}
	sender.send(rate, (bytes) => batches.push(bytes.slice()));
	const base = target.slice();
	const receive = (): number => {
		for (const bytes of batches) decoder.decode(bytes, { pageCount: pages, base: target }).install(target);
		return batches.length;
	};
	receive();
	if (Buffer.compare(target, memory) !== 0) throw new Error(`${name}: the pages did not come back`);
	// What was sent once has to be forgotten, or the second round finds everything unchanged: the state before is sent again.
	const before = (): void => {
		if (sent === undefined) return;
		sender.load(sent);
		sender.send(rate);
		sender.load(memory);
	};
	const copy = { contender: copier("copying alone", memory, base.slice()), differs: true };
	// The amounts may differ by a page or two from round to round: the choice to compress follows measured time.
	const encode: Contender = { name: "encode", before, run: () => (sender.send(rate) > 0 ? 1 : 0) };
	const decode: Contender = { name: "decode", before: () => void target.set(base), run: receive };
	const result = [
		...(await contest(
			{ name: `encode for ${link}, ${name}`, amount: memory.length, ours: encode, peers: [copy] },
			options,
		)),
		...(await contest(
			{ name: `decode from ${link}, ${name}`, amount: memory.length, ours: decode, peers: [copy] },
			options,
		)),
	];
	result.push({
		name: `size for ${link}, ${name} (${sender.choice})`,
		value: sender.byteLength,
		unit: "B",
		peer: "the pages",
		peerValue: memory.length,
		ratio: memory.length / sender.byteLength,
	});
	return result;
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const result: Row[] = [];
	for (const input of await inputs(options))
		for (const link of Object.keys(LINKS) as (keyof typeof LINKS)[])
			result.push(...(await linkRows(input, link, options)));
	return result;
}
