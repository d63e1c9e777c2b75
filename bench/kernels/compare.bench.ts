// Page compare: which of two versions of memory's pages differ. GB/s counts both sides.
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { PageComparer } from "../../bindings/engine/compare.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { type Contender, contest } from "../contest.ts";
import { realDumps } from "../inputs/real.ts";
import { changedCopy, noise, PAGE } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "page compare";

interface Input {
	readonly name: string;
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** Ratio to memcmp wanted. */
	readonly goal?: number;
}

/** Word by word, as one would write it without an engine. */
function plainTypeScript(a: Int32Array, b: Int32Array): number {
	let different = 0;
	for (let page = 0; page < a.length; page += PAGE / 4)
		for (let i = page; i < page + PAGE / 4; i++)
			if (a[i] !== b[i]) {
				different++;
				break;
			}
	return different;
}

async function inputs({ smoke }: BenchOptions): Promise<Input[]> {
	const pages = smoke ? 64 : 16384;
	const before = noise(pages * PAGE);
	const real = await realDumps(smoke ? 1 << 20 : 48 << 20);
	return [
		{ name: "all the same", before, after: before.slice(), goal: 1 },
		{ name: "10 % different", before, after: changedCopy(before, 0.1, 3, 8), goal: 1.1 },
		{ name: "all different", before, after: changedCopy(before, 1, 3, 8) },
		...real.map((dumps) => ({ ...dumps, name: `${dumps.name}, before and after`, goal: 0.95 })),
	];
}

async function inputRows(input: Input, native: NativePeers | undefined, options: BenchOptions): Promise<Row[]> {
	const { before, after } = input;
	const engine = createEngine();
	const a = engine.allocate(before.length);
	const b = engine.allocate(before.length);
	const pages = before.length / PAGE;
	const bitmap = new Bitmap(engine, pages);
	const comparer = new PageComparer(engine);
	engine.view(a).set(before);
	engine.view(b).set(after);
	await native?.load("a", before);
	await native?.load("b", after);
	const [left, right] = [a, b].map((region) => Buffer.from(engine.bytes.buffer, region.offset, region.byteLength));
	const bufferCompare: Contender = {
		name: "Buffer.compare",
		run: () => {
			let different = 0;
			for (let at = 0; at < before.length; at += PAGE)
				if (left!.compare(right!, at, at + PAGE, at, at + PAGE) !== 0) different++;
			return different;
		},
	};
	const words = [a, b].map((region) => new Int32Array(engine.bytes.buffer, region.offset, region.byteLength / 4));
	return contest(
		{
			name: input.name,
			amount: 2 * before.length,
			ours: { name: "PageComparer", run: () => comparer.compare(a, b, bitmap) },
			peers: [
				...(await nativePeer(native, "compare", "memcmp (C)", input.goal === undefined ? {} : { goal: input.goal })),
				{ contender: bufferCompare, goal: 1.5 },
				{ contender: { name: "plain TypeScript", run: () => plainTypeScript(words[0]!, words[1]!) } },
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
