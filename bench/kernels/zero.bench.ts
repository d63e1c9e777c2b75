// Zero pages: which pages of memory are all zero.
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { ZeroScanner } from "../../bindings/engine/zero.ts";
import { contest } from "../contest.ts";
import { realDumps } from "../inputs/real.ts";
import { chosenPages, noise, PAGE } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "zero pages";

interface Input {
	readonly name: string;
	readonly memory: Uint8Array;
	/** Ratio to C wanted. */
	readonly goal: number;
}

function plainTypeScript(words: Int32Array): number {
	let zeros = 0;
	next: for (let page = 0; page < words.length; page += PAGE / 4) {
		for (let i = page; i < page + PAGE / 4; i++) if (words[i] !== 0) continue next;
		zeros++;
	}
	return zeros;
}

async function inputs({ smoke }: BenchOptions): Promise<Input[]> {
	const pages = smoke ? 64 : 16384;
	const rich = new Uint8Array(pages * PAGE);
	for (const page of chosenPages(pages, 0.1)) rich.set(noise(PAGE, page + 1), page * PAGE);
	const real = await realDumps(smoke ? 1 << 20 : 64 << 20, true);
	return [
		{ name: "all zero", memory: new Uint8Array(pages * PAGE), goal: 1.1 },
		{ name: "90 % zero", memory: rich, goal: 1.1 },
		...real.map(({ name, after }) => ({ name, memory: after, goal: 0.8 })),
	];
}

async function inputRows(
	{ name, memory, goal }: Input,
	native: NativePeers | undefined,
	options: BenchOptions,
): Promise<Row[]> {
	const engine = createEngine();
	const pages = engine.allocate(memory.length);
	const bitmap = new Bitmap(engine, memory.length / PAGE);
	const scanner = new ZeroScanner(engine);
	engine.view(pages).set(memory);
	await native?.load("a", memory);
	const words = new Int32Array(engine.bytes.buffer, pages.offset, pages.byteLength / 4);
	const bytes = Buffer.from(engine.bytes.buffer, pages.offset, pages.byteLength);
	const zeroPage = Buffer.alloc(PAGE);
	const bufferCompare = (): number => {
		let zeros = 0;
		for (let at = 0; at < bytes.length; at += PAGE) if (bytes.compare(zeroPage, 0, PAGE, at, at + PAGE) === 0) zeros++;
		return zeros;
	};
	return contest(
		{
			name,
			amount: memory.length,
			ours: { name: "ZeroScanner", run: () => scanner.scan(pages, bitmap) },
			peers: [
				...(await nativePeer(native, "zero", "AVX-512 (C)", { goal })),
				{ contender: { name: "Buffer.compare", run: bufferCompare } },
				{ contender: { name: "plain TypeScript", run: () => plainTypeScript(words) } },
			],
		},
		options,
	);
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const native = NativePeers.start();
	const result: Row[] = [];
	for (const input of await inputs(options)) result.push(...(await inputRows(input, native, options)));
	native?.stop();
	return result;
}
