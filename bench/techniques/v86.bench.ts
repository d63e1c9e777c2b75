// Linux in v86: the pause of an incremental snapshot beside v86's own save of the same machine, moves between two processes, and
// what tracking costs the guest. Needs `npm run guests`.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { V86Build, V86Emulator } from "../../bindings/guests/v86/emulator.ts";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { loadV86 } from "../../bindings/guests/v86/package.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import type { MoveMetrics, Verification } from "../../bindings/migration/metrics.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import type { SaveMetrics } from "../../bindings/snapshot/save-metrics.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { BenchOptions, Row } from "../row.ts";
import { median } from "./ferry.ts";

export const title = "Linux in v86 (64 MiB)";

const platform = nodePlatform();
const { clock, random, files } = platform;
const READY = "build/guests/ready/v86";

/** Loads, as the shell takes them. */
const LOADS = { idle: ":", forks: "while :; do ls /proc >/tmp/list; done &" } as const;
/** Of the pause of an increment with transport verification, in ms. */
const PAUSE_LIMITS_MS = { idle: 0.6, forks: 3 } as const;
/** Of pre-copy with transport verification. */
const DOWNTIME_LIMIT_MS = 15;
const VERIFICATIONS = ["transport", "full"] as const;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	if ((await files.read(`${READY}/manifest.json`)) === undefined) {
		console.log("skipped: Linux in v86; `npm run guests` prepares it");
		return [];
	}
	const all: Row[] = [];
	for (const load of ["idle", "forks"] as const) all.push(...(await pauseRows(load, smoke ? 2 : 41)));
	for (const verification of VERIFICATIONS) all.push(...(await moveRows(verification, smoke ? 1 : 11)));
	all.push(await trackingRow(smoke ? 1 : 15));
	return all;
}

/** v86 whose machines can be asked to save themselves as its users do. */
async function watchedV86(): Promise<{ readonly v86: V86Build; readonly last: () => V86Emulator }> {
	const v86 = await loadV86(files);
	let last: V86Emulator | undefined;
	const Original = v86.V86 as new (options: object) => V86Emulator;
	class Watched extends Original {
		constructor(options: object) {
			super(options);
			last = this;
		}
	}
	return { v86: { ...v86, V86: Watched }, last: () => last! };
}

async function openLinux(v86: V86Build): Promise<V86Guest> {
	const store = new SnapshotStore(await platform.openFolderStore(`${READY}/store`), { clock, random });
	const [ready] = await store.list();
	const { guest } = await restore(
		{ snapshot: await store.open(ready!.id), factories: [new V86GuestFactory({ v86, clock })], clock, random },
		{ clock: "continue", random: "keep" },
	);
	if (!(guest instanceof V86Guest)) throw new Error("another guest than was saved");
	return guest;
}

async function start(guest: V86Guest, load: keyof typeof LOADS): Promise<void> {
	guest.serial.write(`${LOADS[load]}\n`);
	await clock.sleep(500);
}

/** Increments every 25 ms or so, verified either way in turns, and a save by v86 itself of the same machine after both, paused. */
async function pauseRows(load: keyof typeof LOADS, rounds: number): Promise<Row[]> {
	const { v86, last } = await watchedV86();
	const guest = await openLinux(v86);
	const folder = await mkdtemp(join(tmpdir(), "pageferry-bench-"));
	const increments: Record<Verification, SaveMetrics[]> = { transport: [], full: [] };
	const whole: number[] = [];
	try {
		await start(guest, load);
		const store = new SnapshotStore(await platform.openFolderStore(folder), { clock, random });
		const series = await SnapshotSeries.open({ guest, store, clock });
		await series.liveSave();
		for (let round = -3; round < rounds; round++) {
			for (const verification of VERIFICATIONS) {
				await clock.sleep(25);
				const { metrics } = await series.liveSave({ verification });
				if (round >= 0) increments[verification].push(metrics);
			}
			await guest.pause({ deadlineMs: 1000 });
			const startedMs = clock.now();
			(last().v86 as unknown as { save_state(): ArrayBuffer }).save_state();
			const savedMs = clock.now() - startedMs;
			await guest.resume();
			if (round >= 0) whole.push(savedMs);
		}
		await series.close();
	} finally {
		await guest.discard();
		await rm(folder, { recursive: true, force: true });
	}
	return rowsOfPauses(load, increments, whole);
}

/** @param whole - what v86's own save took in each round, in ms */
function rowsOfPauses(
	load: keyof typeof LOADS,
	{ transport, full }: Readonly<Record<Verification, readonly SaveMetrics[]>>,
	whole: readonly number[],
): Row[] {
	const middle = (metrics: readonly SaveMetrics[], of: (metrics: SaveMetrics) => number): number =>
		median(metrics.map(of));
	const pauseMs = middle(transport, ({ downtimeMs }) => downtimeMs);
	const pages = middle(transport, ({ pagesTransferred }) => pagesTransferred);
	const name = `pause of an incremental live save, ${load}`;
	return [
		limited(`${name} (${pages} pages)`, pauseMs, PAUSE_LIMITS_MS[load]),
		{
			...{ name: "  beside v86's own save", value: pauseMs, unit: "ms" },
			...{ peer: "v86 save_state", peerValue: median([...whole]) },
			ratio: median(whole.map((savedMs, round) => savedMs / transport[round]!.downtimeMs)),
			goal: 50,
		},
		plain(
			"  of which device state",
			middle(transport, ({ downtimeParts }) => downtimeParts.stateMs),
			"ms",
		),
		plain(
			"  with verification full",
			middle(full, ({ downtimeMs }) => downtimeMs),
			"ms",
		),
	];
}

/** A figure that should stay below a limit: the ratio is how many times below it is. */
function limited(name: string, value: number, limitMs: number): Row {
	return { name, value, unit: "ms", peer: "limit", peerValue: limitMs, ratio: limitMs / value, goal: 1 };
}

const plain = (name: string, value: number, unit: string): Row => ({
	...{ name, value, unit },
	...{ peer: null, peerValue: null, ratio: null },
});

/** Moves into a process that has not seen a guest yet: two, because their code is not compiled. */
const WARMING_MOVES = 2;

/** Pre-copy of a guest under the fork load into another process, over loopback. */
async function moveRows(verification: Verification, rounds: number): Promise<Row[]> {
	const { v86 } = await watchedV86();
	const moves: MoveMetrics[] = [];
	const program = new URL(`file://${process.cwd()}/bench/techniques/v86-target-program.mjs`).pathname;
	const target = await platform.processes.start({ executable: process.execPath, args: [program] });
	try {
		const lines = target.lines[Symbol.asyncIterator]();
		const address = JSON.parse(String((await lines.next()).value)) as StreamAddress;
		for (let round = -WARMING_MOVES; round < rounds; round++) {
			const guest = await openLinux(v86);
			await start(guest, "forks");
			const link = openLink(await platform.connect(address));
			const result = await preCopy({ guest, link, clock, random }, { verification });
			if (result.outcome !== "moved") throw result.error;
			if ((await lines.next()).value !== "running") throw new Error("the guest does not run");
			if (round >= 0) moves.push(result.metrics);
		}
	} finally {
		target.kill("SIGKILL");
		await target.ended;
	}
	const middle = (of: (metrics: MoveMetrics) => number): number => median(moves.map(of));
	const downtimeMs = middle((metrics) => metrics.downtimeMs);
	const name = `pre-copy between processes under forks, verification ${verification}`;
	return [
		verification === "transport"
			? limited(`${name}: downtime`, downtimeMs, DOWNTIME_LIMIT_MS)
			: plain(`${name}: downtime`, downtimeMs, "ms"),
		plain(
			"  of which final round",
			middle(({ downtimeParts }) => downtimeParts.finalRoundMs),
			"ms",
		),
		plain(
			"  of which state",
			middle(({ downtimeParts }) => downtimeParts.stateMs),
			"ms",
		),
		plain(
			"  of which verification",
			middle(({ downtimeParts }) => downtimeParts.verifyMs),
			"ms",
		),
		plain(
			"  of which commit",
			middle(({ downtimeParts }) => downtimeParts.commitMs),
			"ms",
		),
	];
}

/** Instructions per millisecond with pages tracked and harvested every 25 ms, beside none, in turns. */
async function trackingRow(rounds: number): Promise<Row> {
	const { v86 } = await watchedV86();
	const guest = await openLinux(v86);
	try {
		guest.serial.write("while :; do i=$((i+1)); done &\n");
		await clock.sleep(1000);
		const rate = async (tracked: boolean): Promise<number> => {
			const cursor = tracked ? await guest.dirty.open() : undefined;
			const [startedMs, before] = [clock.now(), guest.instructions];
			while (clock.now() - startedMs < 300) {
				await clock.sleep(25);
				await cursor?.harvest();
			}
			const executed = (guest.instructions - before) >>> 0;
			const result = executed / (clock.now() - startedMs);
			await cursor?.close();
			return result;
		};
		const ratios: number[] = [];
		const [plainRates, trackedRates]: [number[], number[]] = [[], []];
		for (let round = 0; round < rounds; round++) {
			const order = round % 2 === 0 ? [true, false] : [false, true];
			const found = new Map<boolean, number>();
			for (const tracked of order) found.set(tracked, await rate(tracked));
			ratios.push(found.get(true)! / found.get(false)!);
			plainRates.push(found.get(false)! / 1000);
			trackedRates.push(found.get(true)! / 1000);
		}
		return {
			name: "million instructions per second, pages harvested every 25 ms",
			value: median(trackedRates),
			unit: "MIPS",
			peer: "no tracking",
			peerValue: median(plainRates),
			ratio: median(ratios),
			goal: 0.95,
		};
	} finally {
		await guest.discard();
	}
}
