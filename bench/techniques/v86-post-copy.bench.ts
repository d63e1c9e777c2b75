// Linux in v86 whose pages follow it: how soon it runs in another process, how long it waits for a page, how fast it is meanwhile;
// and how soon it runs when it is restored from a store as it needs its pages. Needs `npm run guests`.
import process from "node:process";
import { V86Guest, V86GuestFactory, V86WorkerGuestFactory } from "../../bindings/guests/v86/index.ts";
import { loadV86 } from "../../bindings/guests/v86/package.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveMetrics, Verification } from "../../bindings/migration/metrics.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { SnapshotReader } from "../../bindings/snapshot/store-reader.ts";
import type { BenchOptions, Row } from "../row.ts";
import { median } from "./ferry.ts";

export const title = "Linux in v86 (64 MiB) whose pages follow it";

const platform = nodePlatform();
const { clock, random, files, workers } = platform;
const READY = "build/guests/ready/v86";
const SWITCH_LIMIT_MS = 15;
const FAULT_LIMIT_US = 200;
/** Moves into a process that has not seen a guest yet: their code is not compiled. */
const WARMING_MOVES = 2;

/** Demand paging brings the rest after this time: it would never be done. */
const DEMAND_ONLY_MS = 400;

const ORDERS: readonly (readonly [string, PushOrder])[] = [
	["demand paging", demandPaging(DEMAND_ONLY_MS)],
	["active push", activePush()],
	["prepaging, 1 pivot", prepaging({ pivots: 1 })],
	["prepaging", prepaging()],
];

/** What the target's process says of a guest. */
interface Felt {
	readonly outcome: string;
	readonly pages: string;
	readonly faults: number;
	readonly latenciesMs: readonly number[];
	readonly during: number;
	readonly after: number;
}

interface Move {
	readonly metrics: MoveMetrics;
	readonly felt: Felt;
}

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	if ((await files.read(`${READY}/manifest.json`)) === undefined) {
		console.log("skipped: Linux in v86; `npm run guests` prepares it");
		return [];
	}
	const all: Row[] = [];
	const rounds = smoke ? 1 : 9;
	for (const [order, push] of ORDERS)
		all.push(...moveRows(`post-copy, ${order}`, await moves("post-copy", push, "transport", rounds)));
	all.push(...moveRows("hybrid", await moves("hybrid", prepaging(), "transport", rounds)));
	const full = await moves("post-copy", prepaging(), "full", rounds);
	all.push(plain("post-copy, prepaging, verification full: runs at the target after", switchMs(full), "ms"));
	all.push(
		plain("  every page is there, and compared, after", median(full.map(({ metrics }) => metrics.resumeMs)), "ms"),
	);
	all.push(...(await restoreRows(smoke ? 1 : 7)));
	return all;
}

async function snapshotOf(): Promise<SnapshotReader> {
	const store = new SnapshotStore(await platform.openFolderStore(`${READY}/store`), { clock, random });
	const [ready] = await store.list();
	return store.open(ready!.id);
}

/** Moves under the fork load into another process, over loopback. */
async function moves(
	technique: "post-copy" | "hybrid",
	push: PushOrder,
	verification: Verification,
	rounds: number,
): Promise<Move[]> {
	const v86 = await loadV86(files);
	const program = new URL(`file://${process.cwd()}/bench/techniques/v86-post-copy-target-program.mjs`).pathname;
	const target = await platform.processes.start({ executable: process.execPath, args: [program] });
	const made: Move[] = [];
	try {
		const lines = target.lines[Symbol.asyncIterator]();
		const address = JSON.parse(String((await lines.next()).value)) as StreamAddress;
		const policy = { clock: "continue", random: "keep" } as const;
		for (let round = -WARMING_MOVES; round < rounds; round++) {
			const services = {
				snapshot: await snapshotOf(),
				factories: [new V86GuestFactory({ v86, clock })],
				clock,
				random,
			};
			const { guest } = await restore(services, policy);
			if (!(guest instanceof V86Guest)) throw new TypeError("another guest than was saved");
			guest.serial.write("while :; do ls /proc >/tmp/list; done &\n");
			await clock.sleep(500);
			const link = openLink(await platform.connect(address));
			const leave = technique === "hybrid" ? hybrid : postCopy;
			const result = await leave({ guest, link, clock, random }, { push, verification });
			if (result.outcome !== "moved") throw result.error;
			const felt = JSON.parse(String((await lines.next()).value)) as Felt;
			if (felt.pages !== "complete") throw new TypeError(`the guest's pages are ${felt.pages}`);
			if (round >= 0) made.push({ metrics: result.metrics, felt });
		}
	} finally {
		target.kill("SIGKILL");
		await target.ended;
	}
	return made;
}

const switchMs = (made: readonly Move[]): number =>
	median(made.map(({ metrics }) => metrics.pauseWaitMs + metrics.downtimeMs));

function moveRows(name: string, made: readonly Move[]): Row[] {
	const middle = (of: (move: Move) => number): number => median(made.map(of));
	const waits = made.flatMap(({ felt }) => felt.latenciesMs).sort((a, b) => a - b);
	const waitUs = (share: number): number =>
		1000 * (waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? 0);
	const parts = (["finalRoundMs", "stateMs", "verifyMs", "commitMs"] as const).map((part) =>
		plain(
			`  of which ${part.replace("Ms", "")}`,
			middle(({ metrics }) => metrics.downtimeParts[part]),
			"ms",
		),
	);
	return [
		limited(`${name}: runs at the target after`, switchMs(made), "ms", SWITCH_LIMIT_MS),
		plain("  worst", Math.max(...made.map(({ metrics }) => metrics.pauseWaitMs + metrics.downtimeMs)), "ms"),
		...parts,
		limited(`${name}: median wait for a page`, waitUs(0.5), "µs", FAULT_LIMIT_US),
		plain("  95 % below", waitUs(0.95), "µs"),
		plain("  worst", waitUs(1), "µs"),
		plain(
			"  waits for the network",
			middle(({ metrics }) => metrics.networkFaults),
			"faults",
		),
		plain(
			"  pages in vain",
			middle(({ metrics }) => metrics.paging?.pushedInVain ?? 0),
			"pages",
		),
		plain(
			"  every page is there after",
			middle(({ metrics }) => metrics.resumeMs),
			"ms",
		),
		plain("  guest's speed meanwhile", 100 * middle(({ felt }) => felt.during / felt.after), "%"),
	];
}

/** From a folder, with a target that is set up: until the guest runs. */
async function restoreRows(rounds: number): Promise<Row[]> {
	const v86 = await loadV86(files);
	const factories = [new V86WorkerGuestFactory({ v86, clock, workers })];
	const policy = { clock: "continue", random: "keep" } as const;
	const lazy: { readonly activationMs: number; readonly faults: number; readonly allMs: number }[] = [];
	const whole: number[] = [];
	for (let round = -1; round < rounds; round++) {
		const services = { snapshot: await snapshotOf(), factories, clock, random };
		const startedMs = clock.now();
		const { guest, activationMs, setupMs, done } = await lazyRestore(services, policy);
		const report = await done;
		const allMs = clock.now() - startedMs - setupMs;
		await guest.discard();
		const restored = await restore({ ...services, snapshot: await snapshotOf() }, policy);
		await restored.guest.discard();
		if (round < 0) continue;
		lazy.push({ activationMs, allMs, faults: report.faultPages });
		whole.push(restored.metrics.pagesMs + restored.metrics.activationMs);
	}
	return [
		{
			name: "restore from a folder: the guest runs after",
			...{ value: median(lazy.map(({ activationMs }) => activationMs)), unit: "ms" },
			...{ peer: "full restore", peerValue: median(whole) },
			ratio: median(whole) / median(lazy.map(({ activationMs }) => activationMs)),
		},
		plain("  every page is there after", median(lazy.map(({ allMs }) => allMs)), "ms"),
		plain("  pages it waited for", median(lazy.map(({ faults }) => faults)), "faults"),
	];
}

/** A figure that should stay below a limit: the ratio is how many times below it is. */
function limited(name: string, value: number, unit: string, limit: number): Row {
	return { name, value, unit, peer: "limit", peerValue: limit, ratio: limit / value, goal: 1 };
}

function plain(name: string, value: number, unit: string): Row {
	return { name, value, unit, peer: null, peerValue: null, ratio: null };
}
