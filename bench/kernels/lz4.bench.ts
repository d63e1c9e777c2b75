// LZ4 of 4 KiB pages, each a block of its own.
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { compressSync as lz4Compress, uncompressSync as lz4Uncompress } from "lz4-napi";
import { compressSync as snappyCompress, uncompressSync as snappyUncompress } from "snappy";
import { createEngine } from "../../bindings/engine/engine.ts";
import { type Contender, contest, sizeRow } from "../contest.ts";
import { realDumps } from "../inputs/real.ts";
import { noise, PAGE } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "LZ4 of pages";

const STRIDE = 4224;

interface Input {
	readonly name: string;
	readonly memory: Uint8Array<ArrayBuffer>;
	readonly hasGoals: boolean;
}

async function inputs({ smoke }: BenchOptions): Promise<Input[]> {
	const real = await realDumps(smoke ? 1 << 18 : 16 << 20);
	return [
		...real.map(({ name, after }) => ({ name, memory: after, hasGoals: true })),
		{ name: "noise", memory: noise((smoke ? 16 : 2048) * PAGE), hasGoals: false },
	];
}

/** An npm compressor, page by page. */
function npmPeer(
	name: string,
	pages: readonly Buffer[],
	code: (page: Buffer) => { readonly length: number },
): Contender {
	const run = (): number => {
		let sum = 0;
		for (const page of pages) sum += code(page).length;
		return sum;
	};
	return { name, run };
}

/** Our coder over all pages; the result is the sum of the lengths. */
function ourCoders(memory: Uint8Array): { encode: Contender; decode: Contender } {
	const engine = createEngine();
	const pages = memory.length / PAGE;
	const table = engine.allocate(16384);
	const plain = engine.allocate(memory.length);
	const blocks = engine.allocate(pages * STRIDE);
	const made = engine.allocate(memory.length);
	const lengths = new Uint32Array(pages);
	engine.view(plain).set(memory);
	engine.prefault();
	const { lz4EncodePage, lz4Decode } = engine.exports;
	const encode = (): number => {
		let sum = 0;
		for (let i = 0; i < pages; i++) {
			const length = lz4EncodePage(plain.offset + i * PAGE, blocks.offset + i * STRIDE, STRIDE, table.offset);
			lengths[i] = length;
			sum += length;
		}
		return sum;
	};
	const decode = (): number => {
		let sum = 0;
		for (let i = 0; i < pages; i++)
			sum += lz4Decode(blocks.offset + i * STRIDE, lengths[i]!, made.offset + i * PAGE, PAGE);
		return sum;
	};
	encode();
	decode();
	if (Buffer.compare(engine.view(plain), engine.view(made)) !== 0) throw new Error("pages did not come back");
	return { encode: { name: "ours", run: encode }, decode: { name: "ours", run: decode } };
}

async function inputRows(
	{ name, memory, hasGoals }: Input,
	native: NativePeers | undefined,
	options: BenchOptions,
): Promise<Row[]> {
	await native?.load("a", memory);
	const { encode, decode } = ourCoders(memory);
	const pages = Array.from({ length: memory.length / PAGE }, (_, i) => Buffer.from(memory.buffer, i * PAGE, PAGE));
	const goal = (value: number): { goal?: number } => (hasGoals ? { goal: value } : {});
	const differs = true;
	const codecs = [
		{ name: "lz4-napi", code: lz4Compress, back: lz4Uncompress, goal: goal(2.5) },
		{
			name: "snappy",
			code: (page: Buffer) => snappyCompress(page),
			back: (block: Buffer) => snappyUncompress(block),
			goal: goal(3),
		},
		{
			name: "zlib level 1",
			code: (page: Buffer) => deflateRawSync(page, { level: 1 }),
			back: (block: Buffer) => inflateRawSync(block),
			goal: goal(6),
		},
	] as const;
	const liblz4 = await nativePeer(native, "lz4-encode", "liblz4 (C)", { differs, ...goal(0.92) });
	const theirs = liblz4[0]?.contender;
	const rows = await contest(
		{
			name: `compress, ${name}`,
			amount: memory.length,
			ours: encode,
			peers: [
				...liblz4,
				...codecs.map((codec) => ({ contender: npmPeer(codec.name, pages, codec.code), differs, ...codec.goal })),
			],
		},
		options,
	);
	rows.push(
		...(await contest(
			{
				name: `decompress, ${name}`,
				amount: memory.length,
				ours: decode,
				peers: [
					...(await nativePeer(native, "lz4-decode", "liblz4 (C)", goal(0.8))),
					...codecs.map(({ name, code, back }) => {
						const blocks = pages.map((page) => code(page));
						return { contender: npmPeer(name, blocks, (block) => back(block)) };
					}),
				],
			},
			options,
		)),
	);
	if (theirs !== undefined && "measure" in theirs)
		rows.push(sizeRow(`size, ${name}`, encode.run(), "liblz4 (C)", (await theirs.measure(1)).result, 0.995));
	return rows;
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const native = NativePeers.start();
	const result: Row[] = [];
	for (const input of await inputs(options)) result.push(...(await inputRows(input, native, options)));
	native?.stop();
	return result;
}
