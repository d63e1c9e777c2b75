// Bitmaps of 2^26 bits (256 GiB of guest memory): harvesting what is set, and counting it. "GB/s" would say little here, so
// figures are ns per set bit.
import { RoaringBitmap32 } from "roaring-wasm";
import { TypedFastBitSet } from "typedfastbitset";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { contest, type Peer } from "../contest.ts";
import { randomBelow } from "../inputs/synthetic.ts";
import { NativePeers, nativePeer } from "../native/native-peers.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "bitmaps";

interface Input {
	readonly name: string;
	readonly bits: Uint32Array;
	readonly goals: { readonly c?: number; readonly fastbitset?: number; readonly roaring?: number };
}

/** Set bits: single ones at random distances, or runs. */
function setBits(bitCount: number, share: number, run: number): Uint32Array {
	const below = randomBelow(11);
	const bits: number[] = [];
	const step = Math.round((2 * run) / share);
	for (let at = below(step); at < bitCount; at += run + below(step))
		for (let i = 0; i < run && at + i < bitCount; i++) bits.push(at + i);
	return Uint32Array.from(bits);
}

function inputs({ smoke }: BenchOptions): { bitCount: number; list: Input[] } {
	const bitCount = smoke ? 2 ** 16 : 2 ** 26;
	const make = (name: string, share: number, run: number, goals: Input["goals"]): Input => ({
		name,
		bits: setBits(bitCount, share, run),
		goals,
	});
	return {
		bitCount,
		list: [
			make("0.01 % scattered", 0.0001, 1, { fastbitset: 7, roaring: 1 }),
			make("1 % scattered", 0.01, 1, { c: 1.3, fastbitset: 7 }),
			make("10 % scattered", 0.1, 1, { c: 1.3, fastbitset: 7 }),
			make("10 % in runs of 64", 0.1, 64, { c: 0.9, fastbitset: 7 }),
		],
	};
}

/** All its values, 65 536 at a time: one huge array makes roaring-wasm 1.1.0 fail. */
function roaringOf(bits: Uint32Array): RoaringBitmap32 {
	const roaring = new RoaringBitmap32();
	for (let from = 0; from < bits.length; from += 60_000) roaring.addMany(bits.subarray(from, from + 60_000));
	roaring.runOptimize();
	return roaring;
}

const CALLS = 10_000;

/** What so many calls give together. */
function sumOf(call: () => number): number {
	let sum = 0;
	for (let i = 0; i < CALLS; i++) sum += call();
	return sum;
}

const wanted = (goal: number | undefined): { goal?: number } => (goal === undefined ? {} : { goal });

/** Our bitmap, the list that it is read into, and its bytes, which put it back after a harvest. */
function ourBitmap(bits: Uint32Array, bitCount: number) {
	const engine = createEngine();
	const bitmap = new Bitmap(engine, bitCount);
	const list = new PageList(engine, bits.length + 64);
	const bytes = new Uint8Array(bitCount / 8);
	for (const bit of bits) bytes[bit >> 3]! |= 1 << (bit & 7);
	bitmap.loadBytes(bytes);
	engine.prefault();
	const { region, blockCount } = bitmap;
	return {
		bytes,
		harvest: {
			name: "harvestInto",
			before: () => bitmap.loadBytes(bytes),
			run: () => {
				bitmap.harvestInto(list);
				return list.length;
			},
		},
		list: {
			name: "listInto",
			run: () => {
				bitmap.listInto(list);
				return list.length;
			},
		},
		/** As a user reads a set's members: one after the other, in JavaScript. */
		iterate: {
			name: "list()",
			run: () => {
				let sum = 0;
				const members = bitmap.list();
				for (let i = 0; i < members.length; i++) sum += members[i]!;
				return sum;
			},
		},
		/** The handle remembers its count, as roaring-wasm does. */
		count: { name: "count", run: () => bitmap.count() },
		countKernel: { name: "bitmapCount", run: () => engine.exports.bitmapCount(region.offset, blockCount, 0, bitCount) },
	};
}

async function inputRows(
	input: Input,
	bitCount: number,
	native: NativePeers | undefined,
	options: BenchOptions,
): Promise<Row[]> {
	const { name, bits, goals } = input;
	const ours = ourBitmap(bits, bitCount);
	await native?.load("a", ours.bytes);
	const fast = new TypedFastBitSet(bits);
	const roaring = roaringOf(bits);
	const peer = (name: string, run: () => number, goal: number | undefined): Peer => ({
		contender: { name, run },
		...wanted(goal),
	});
	const contests = [
		{
			name: `list, ${name}`,
			ours: ours.list,
			peers: [
				peer("typedfastbitset", () => fast.array().length, goals.fastbitset),
				peer("roaring-wasm", () => roaring.toUint32Array().length, goals.roaring),
			],
		},
		{
			name: `iterate, ${name}`,
			ours: ours.iterate,
			peers: [
				peer(
					"roaring-wasm",
					() => {
						let sum = 0;
						for (const bit of roaring) sum += bit;
						return sum;
					},
					goals.roaring,
				),
			],
		},
		{
			name: `count kernel, ${name}`,
			ours: ours.countKernel,
			peers: await nativePeer(native, "count", "popcount (C)"),
		},
		{
			name: `count, ${name}`,
			ours: ours.count,
			peers: [peer("typedfastbitset", () => fast.size(), goals.fastbitset)],
		},
		// Both keep it: a call takes less than a clock can tell.
		{
			name: `a count that is known, ${name}`,
			amount: CALLS,
			ours: { name: "count", run: () => sumOf(ours.count.run) },
			peers: [peer("roaring-wasm", () => sumOf(() => roaring.size), goals.roaring)],
		},
		// Last: it leaves nothing to list or to count.
		{
			name: `harvest, ${name}`,
			ours: ours.harvest,
			peers: await nativePeer(native, "harvest", "ctz loop (C)", wanted(goals.c)),
		},
	];
	const result: Row[] = [];
	for (const one of contests) result.push(...(await contest({ amount: bits.length, ...one, unit: "ns" }, options)));
	roaring.dispose();
	return result;
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const native = NativePeers.start();
	const result: Row[] = [];
	const { bitCount, list } = inputs(options);
	for (const input of list) result.push(...(await inputRows(input, bitCount, native, options)));
	native?.stop();
	return result;
}
