// XXH3 of 4 KiB pages, out of the cache.
import { createXXHash3, createXXHash128, type IHasher } from "hash-wasm";
import xxhash from "xxhash-wasm";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageHasher } from "../../bindings/engine/hash.ts";
import { SECRET_OFFSET } from "../../bindings/engine/layout.ts";
import { type Contender, contest } from "../contest.ts";
import { noise, PAGE } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "XXH3 of pages";

/** Sum of the low 32 bits of hashes that lie `step` words apart: what every contender gives as its result. */
function sumOf(words: Uint32Array, step: number): number {
	let sum = 0;
	for (let i = 0; i < words.length; i += step) sum = (sum + words[i]!) >>> 0;
	return sum;
}

/** hash-wasm gives the canonical order, high bytes first. */
function hashWasm(name: string, hasher: IHasher, pages: readonly Uint8Array[]): Contender {
	const run = (): number => {
		let sum = 0;
		for (const page of pages) {
			const hash = hasher.init().update(page).digest("binary");
			const end = hash.length;
			sum += (hash[end - 4]! << 24) | (hash[end - 3]! << 16) | (hash[end - 2]! << 8) | hash[end - 1]!;
			sum >>>= 0;
		}
		return sum;
	};
	return { name, run };
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const count = options.smoke ? 64 : 16384;
	const memory = noise(count * PAGE);
	const engine = createEngine();
	const region = engine.allocate(memory.length);
	const hashes = engine.allocate(count * 16);
	const hasher = new PageHasher(engine);
	engine.view(region).set(memory);
	const native = NativePeers.start();
	await native?.load("a", memory);
	const pages = Array.from({ length: count }, (_, i) =>
		engine.bytes.subarray(region.offset + i * PAGE, region.offset + (i + 1) * PAGE),
	);
	const words = (bytes: number): Uint32Array =>
		engine.words.subarray(hashes.offset / 4, (hashes.offset + bytes * count) / 4);
	const ours64: Contender = {
		name: "XXH3-64",
		run: () => {
			engine.exports.hashPages64(SECRET_OFFSET, region.offset, count, hashes.offset);
			return sumOf(words(8), 2);
		},
	};
	const ours128: Contender = {
		name: "XXH3-128",
		run: () => {
			hasher.hashPagesInto(region, 0, count, hashes);
			return sumOf(words(16), 4);
		},
	};
	const { h64Raw } = await xxhash();
	const xxh64: Contender = {
		name: "xxhash-wasm h64 (XXH64)",
		run: () => {
			let sum = 0;
			for (const page of pages) sum = (sum + Number(h64Raw(page) & 0xffff_ffffn)) >>> 0;
			return sum;
		},
	};
	const result = [
		...(await contest(
			{
				name: "XXH3-64",
				amount: memory.length,
				ours: ours64,
				peers: [
					...(await nativePeer(native, "xxh64", "XXH3-64 (C, inlined)", { goal: 0.93 })),
					{ contender: xxh64, differs: true, goal: 3 },
					{ contender: hashWasm("hash-wasm xxhash3", await createXXHash3(), pages), goal: 5 },
				],
			},
			options,
		)),
		...(await contest(
			{
				name: "XXH3-128",
				amount: memory.length,
				ours: ours128,
				peers: [
					...(await nativePeer(native, "xxh128", "XXH3-128 (C, inlined)")),
					{ contender: { ...ours64, name: "our XXH3-64" }, differs: true, goal: 0.94 },
					{ contender: xxh64, differs: true, goal: 3 },
					{ contender: hashWasm("hash-wasm xxhash128", await createXXHash128(), pages), goal: 5 },
				],
			},
			options,
		)),
	];
	native?.stop();
	return result;
}
