// What snapshots cost a running guest: the pause of an increment beside that of a save, in alternating order in one run; the
// first answer after a lazy restore beside a full one; the room that ten snapshots take beside one.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { WORKLOADS } from "../../bindings/cli/workloads.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest, WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { keepSnapshots } from "../../bindings/snapshot/keeper.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import type { SaveMetrics } from "../../bindings/snapshot/save-metrics.ts";
import { saveTo } from "../../bindings/snapshot/save-to.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { BenchOptions, Row } from "../row.ts";
import { median } from "./ferry.ts";

export const title = "Snapshots of a running guest";

const ROOT = pathToFileURL(`${process.cwd()}/`); // benches run in the repository's root
const platform = nodePlatform();
const { clock, random, workers } = platform;
const POLICY = { clock: "jump", random: "keep" } as const;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all = await pauseRows("scan", smoke ? 8 : 256, smoke ? 1 : 9);
	if (supportsInstrumentation()) all.push(...(await pauseRows("barrier", smoke ? 8 : 256, smoke ? 1 : 9)));
	all.push(await lazyRow("memory", smoke ? 8 : 512, smoke ? 1 : 5));
	if (supportsInstrumentation()) all.push(await lazyRow("wasm", smoke ? 8 : 512, smoke ? 1 : 5));
	const series = { count: smoke ? 2 : 10, everyMs: smoke ? 50 : 1000 };
	all.push(await spaceRow({ ...series, ballastMiB: smoke ? 4 : 64 }));
	all.push(await spaceRow({ ...series, ballastMiB: 0 }));
	all.push(await sharingRow(4));
	all.push(...(await keeperRows(smoke ? 8 : 256, smoke ? 1 : 7)));
	return all;
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
	const folder = await mkdtemp(join(tmpdir(), "pageferry-bench-"));
	try {
		return await work(folder);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

const openStore = async (folder: string): Promise<SnapshotStore> =>
	new SnapshotStore(await platform.openFolderStore(folder), { clock, random });

/** A guest of pages that do not compress. One whose host access is declared has the write barrier where it is asked for. */
async function pagesGuest(tracker: "scan" | "barrier", sizeMiB: number): Promise<WasmGuest> {
	const program = tracker === "scan" ? "pages-program.mjs" : "post-copy-pages-program.mjs";
	const programUrl = new URL(`bench/techniques/${program}`, ROOT).href;
	const guest = await startWasmGuest({ workers, clock, programUrl, tracker });
	await guest.call({ fillMiB: sizeMiB });
	return guest;
}

const change = (guest: WasmGuest, pages: number): Promise<unknown> => guest.call({ request: { changePages: pages } });

/** The pause of an increment with 1 % of the pages dirty, and of a save of the same guest, in turns. */
async function pauseRows(tracker: "scan" | "barrier", sizeMiB: number, rounds: number): Promise<Row[]> {
	const guest = await pagesGuest(tracker, sizeMiB);
	const dirtyPages = Math.max(1, Math.floor((sizeMiB * 256) / 100));
	const increments = { transport: [] as SaveMetrics[], full: [] as SaveMetrics[] };
	const saves: SaveMetrics[] = [];
	try {
		await inFolder(async (folder) => {
			const series = await SnapshotSeries.open({ guest, store: await openStore(folder), clock });
			await series.liveSave();
			for (let round = -2; round < rounds; round++) {
				for (const verification of ["transport", "full"] as const) {
					await change(guest, dirtyPages);
					const { metrics } = await series.liveSave({ verification });
					if (round >= 0) increments[verification].push(metrics);
				}
				// A store of its own: what is in a store already is not written again, and would not be compared with a save.
				const { metrics } = await inFolder(async (other) =>
					save({ guest, store: await openStore(other), clock }, { verification: "transport" }),
				);
				if (round >= 0) saves.push(metrics);
			}
			await series.close();
		});
	} finally {
		await guest.discard();
	}
	const name = `${sizeMiB} MiB, 1 % dirty, ${guest.dirty.tracker}`;
	const goal = tracker === "scan" ? { limitMs: 25, times: 8 } : { limitMs: 5, times: 30 };
	return (["transport", "full"] as const).flatMap((verification) => {
		const pauses = increments[verification].map(({ downtimeMs }) => downtimeMs);
		const value = median(pauses);
		const limit = { value, unit: "ms", peer: "limit", peerValue: goal.limitMs, ratio: goal.limitMs / value };
		const peerValue = median(saves.map(({ downtimeMs }) => downtimeMs));
		const ratio = median(pauses.map((pause, i) => saves[i]!.downtimeMs / pause));
		const goals =
			verification === "transport" || tracker === "scan" ? { limit: { goal: 1 }, save: { goal: goal.times } } : {};
		return [
			{ name: `${name}, ${verification}: pause`, ...limit, ...(goals.limit ?? {}) },
			{
				name: `${name}, ${verification}: beside save`,
				value,
				unit: "ms",
				peer: "save",
				peerValue,
				ratio,
				...(goals.save ?? {}),
			},
			plain(`${name}, ${verification}: least pause`, Math.min(...pauses)),
			plain(`${name}, ${verification}: worst pause`, Math.max(...pauses)),
			plain(
				`${name}, ${verification}: longest slice`,
				Math.max(...increments[verification].map((one) => one.longestSliceMs)),
			),
		];
	});
}

function plain(name: string, value: number): Row {
	return { name, value, unit: "ms", peer: null, peerValue: null, ratio: null };
}

/** From the call until the first answer; a full restore until it runs. */
async function lazyRow(kind: "memory" | "wasm", sizeMiB: number, rounds: number): Promise<Row> {
	return inFolder(async (folder) => {
		const store = await openStore(folder);
		const { guest, factory, touch } = kind === "memory" ? memorySetting(sizeMiB) : await wasmSetting(sizeMiB);
		const { snapshot: info } = await save(
			{ guest, store, clock },
			{ verification: "transport", compression: () => false },
		);
		await guest.discard();
		const services = { snapshot: await store.open(info.id), factories: [factory], clock, random };
		const full: number[] = [];
		const lazy: number[] = [];
		for (let round = -1; round < rounds; round++) {
			await collectGarbage();
			const fullMs = await timed(async () => (await restore(services, POLICY)).guest);
			await collectGarbage();
			const lazyMs = await timed(async () => {
				const restored = await lazyRestore(services, POLICY);
				await touch(restored.guest);
				// What comes after the first answer is not timed, but must not disturb the next round.
				return { discard: () => restored.done.then(() => restored.guest.discard()) };
			});
			if (round < 0) continue;
			full.push(fullMs);
			lazy.push(lazyMs);
		}
		const ratio = median(lazy.map((lazyMs, i) => full[i]! / lazyMs));
		const name = `${sizeMiB} MiB ${kind} guest, lazy restore until the first answer`;
		return { name, value: median(lazy), unit: "ms", peer: "full restore", peerValue: median(full), ratio, goal: 20 };
	});
}

/** The room of several guests of one program at their start, beside that of one. */
async function sharingRow(count: number): Promise<Row> {
	return inFolder(async (folder) => {
		const store = await openStore(folder);
		let one = 0;
		for (let i = 0; i < count; i++) {
			const guest = await startWasmGuest({ workers, clock, programUrl: new URL("dist/program-sqlite.js", ROOT).href });
			try {
				await save({ guest, store, clock });
			} finally {
				await guest.discard();
			}
			if (i === 0) one = await bytesOf(folder);
		}
		const all = await bytesOf(folder);
		const name = `${count} guests of SQLite at their start, in one store`;
		return {
			name,
			value: all,
			unit: "bytes",
			peer: "1.3 × one",
			peerValue: one * 1.3,
			ratio: (one * 1.3) / all,
			goal: 1,
		};
	});
}

/** Saves to a keeper over a link: a whole one, and the same guest once more into the store that has it. */
async function keeperRows(sizeMiB: number, rounds: number): Promise<Row[]> {
	const guest = await pagesGuest("scan", sizeMiB);
	const times = { whole: [] as number[], again: [] as number[], local: [] as number[] };
	try {
		for (let round = -1; round < rounds; round++)
			await inFolder(async (folder) => {
				const store = await openStore(folder);
				const toKeeper = async (): Promise<number> => {
					const [link, incoming] = openLinkPair();
					const keeping = keepSnapshots({ link: incoming, store, clock });
					const startedMs = clock.now();
					await saveTo({ guest, link, clock }, { verification: "transport", compression: () => false });
					const takenMs = clock.now() - startedMs;
					await keeping;
					return takenMs;
				};
				const whole = await toKeeper();
				await change(guest, Math.max(1, Math.floor((sizeMiB * 256) / 100)));
				const again = await toKeeper();
				const local = await inFolder(async (other) => {
					const startedMs = clock.now();
					const services = { guest, store: await openStore(other), clock };
					await liveSave(services, { verification: "transport", compression: () => false });
					return clock.now() - startedMs;
				});
				if (round < 0) return;
				times.whole.push(whole);
				times.again.push(again);
				times.local.push(local);
			});
	} finally {
		await guest.discard();
	}
	const beside = (name: string, ours: readonly number[]): Row => ({
		name: `${sizeMiB} MiB ${name}`,
		value: median(ours),
		unit: "ms",
		peer: "a local live save",
		peerValue: median(times.local),
		ratio: median(ours.map((ms, i) => times.local[i]! / ms)),
	});
	return [beside("to a keeper", times.whole), beside("to a keeper that has 99 % of it", times.again)];
}

/** Hundreds of MB that a round has left would else be given back to the system, 40 ms long, during the next one. */
async function collectGarbage(): Promise<void> {
	(globalThis as { gc?: () => void }).gc?.();
	await clock.sleep(100); // another thread frees array buffers
}

async function timed(work: () => Promise<{ discard(): Promise<void> }>): Promise<number> {
	const startedMs = clock.now();
	const guest = await work();
	const takenMs = clock.now() - startedMs;
	await guest.discard();
	return takenMs;
}

function memorySetting(sizeMiB: number) {
	const pageCount = sizeMiB * 256;
	const guest = new MemoryGuest({ pageCount });
	const noise = random.fill(new Uint8Array(256 * PAGE_BYTES));
	for (let page = 0; page < pageCount; page += 256) {
		noise.set(Uint8Array.of(page, page >> 8, page >> 16));
		for (let i = 0; i < 256; i++) new DataView(noise.buffer).setUint32(i * PAGE_BYTES, page + i);
		guest.write(page * PAGE_BYTES, noise);
	}
	const touch = async (restored: unknown): Promise<void> => {
		if (!(restored instanceof MemoryGuest)) throw new Error("another guest than was saved");
		await restored.load(1000 * PAGE_BYTES, 4);
	};
	return { guest, factory: new MemoryGuestFactory(clock, pageCount), touch };
}

async function wasmSetting(sizeMiB: number) {
	const guest = await pagesGuest("barrier", sizeMiB);
	const programUrls = [new URL("bench/techniques/post-copy-pages-program.mjs", ROOT).href];
	const factory = await WasmGuestFactory.open({ workers, clock, programUrls });
	const touch = async (restored: unknown): Promise<void> => {
		if (!(restored instanceof WasmGuest)) throw new Error("another guest than was saved");
		await change(restored, 1);
	};
	return { guest, factory, touch };
}

/** A series of the guest that `npm start` moves (it has 64 MiB of ballast there). */
interface SeriesOfSqlite {
	readonly count: number;
	readonly everyMs: number;
	readonly ballastMiB: number;
}

/** The room of some snapshots of SQLite at 200 requests a second, beside that of the first alone. */
async function spaceRow({ count, everyMs, ballastMiB }: SeriesOfSqlite): Promise<Row> {
	const guest = await startWasmGuest({ workers, clock, programUrl: new URL("dist/program-sqlite.js", ROOT).href });
	const { request } = WORKLOADS.get("sqlite")!;
	try {
		return await inFolder(async (folder) => {
			let number = 1;
			const ask = (): Promise<unknown> => guest.call({ number, request: request(number++) });
			if (ballastMiB > 0) await guest.call({ ballastMiB });
			for (let i = 0; i < 200; i++) await ask();
			const series = await SnapshotSeries.open({ guest, store: await openStore(folder), clock });
			await series.liveSave();
			const one = await bytesOf(folder);
			for (let i = 1; i < count; i++) {
				const startedMs = clock.now();
				for (let asked = 1; clock.now() < startedMs + everyMs; asked++) {
					await ask();
					await clock.sleep(Math.max(0, startedMs + asked * 5 - clock.now()));
				}
				await series.liveSave();
			}
			await series.close();
			const all = await bytesOf(folder);
			const name = `${count} snapshots of SQLite with ${ballastMiB} MiB of ballast, ${everyMs} ms apart, 200 requests/s`;
			const figures = { value: all, unit: "bytes", peer: "1.5 × one", peerValue: one * 1.5, ratio: (one * 1.5) / all };
			return ballastMiB > 0 ? { name, ...figures, goal: 1 } : { name, ...figures };
		});
	} finally {
		await guest.discard();
	}
}

async function bytesOf(folder: string): Promise<number> {
	let bytes = 0;
	for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
		if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
	return bytes;
}
