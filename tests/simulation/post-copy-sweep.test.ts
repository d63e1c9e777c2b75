/**
 * The paper's sequential stress in virtual time: the guest sweeps over its working set, 40 µs of work per page, while its
 * pages come over 117 MB/s with 60 µs each way. Pages lie in runs of 28 in device order, as findings/prepaging.md fits
 * them to the paper. Figures of all variants are printed; prepaging must keep its promise.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import type { MoveMetrics } from "../../bindings/migration/metrics.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

const test = suite("post-copy under a sequential sweep");

const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };
const WORK_MS = 0.04;
const RUN_PAGES = 28;

/** Pages in the order in which the guest visits them: runs in any order, each from its beginning. */
function sweepOrder(pageCount: number, random: SeededRandom): number[] {
	const runs = Array.from({ length: Math.ceil(pageCount / RUN_PAGES) }, (_, run) => run * RUN_PAGES);
	for (let i = runs.length - 1; i > 0; i--) {
		const j = random.nextU32() % (i + 1);
		[runs[i], runs[j]] = [runs[j]!, runs[i]!];
	}
	return runs.flatMap((first) =>
		Array.from({ length: Math.min(RUN_PAGES, pageCount - first) }, (_, page) => first + page),
	);
}

async function sweep(pageCount: number, push: PushOrder): Promise<MoveMetrics> {
	const clock = new VirtualClock(systemClock);
	const random = new SeededRandom(7);
	const guest = new MemoryGuest({ pageCount });
	guest.write(0, random.fill(new Uint8Array(pageCount * PAGE_BYTES)));
	const order = sweepOrder(pageCount, random);
	return clock.run(async () => {
		const line = connectSimulated(clock, { rateBytesPerMs: 117_000, latencyMs: 0.06 });
		const factory = new MemoryGuestFactory(clock, pageCount);
		const received = receiveGuest({ link: new StreamLink(line.b, LINK), clock, factories: [factory] });
		const link = new StreamLink(line.a, LINK);
		const moved = postCopy(
			{ guest, link, clock, random },
			{ push, leaveOutZeroPages: false, compression: () => false },
		);
		const at = await received;
		assert.ok(at.outcome === "running" && at.guest instanceof MemoryGuest);
		for (const page of order) {
			await at.guest.touch(page * PAGE_BYTES, 1);
			await clock.sleep(WORK_MS);
		}
		const result = await moved;
		assert.is(result.outcome, "moved");
		return result.metrics;
	});
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

const VARIANTS: readonly (readonly [string, PushOrder])[] = [
	["demand only", demandPaging()],
	["push only", activePush()],
	["prepaging, 1 pivot", prepaging({ pivots: 1 })],
	["prepaging, 7 pivots", prepaging()],
	["prepaging, forward", prepaging({ direction: "forward" })],
	["prepaging, turns", prepaging({ order: "turns" })],
];

for (const megabytes of [8, 32])
	test(`prepaging keeps network faults under 4 % of first touches with ${megabytes} MB`, async () => {
		const pages = megabytes * 256;
		const shares = new Map<string, number>();
		for (const [name, push] of VARIANTS) {
			const { paging, networkFaults, resumeMs } = await sweep(pages, push);
			assert.ok(paging !== undefined);
			shares.set(name, networkFaults / pages);
			console.log(
				`seed 7, ${megabytes} MB, ${name}: network faults ${percent(networkFaults, pages)}, in-flight waits ${percent(paging.inFlightWaits, pages)}, blocked ${paging.blockedMs.toFixed(1)} ms, fault p50 ${(paging.faultLatency.p50Ms * 1000).toFixed(0)} µs, p90 ${(paging.faultLatency.p90Ms * 1000).toFixed(0)} µs, resume ${resumeMs.toFixed(1)} ms`,
			);
			assert.is(paging.pushedPages + networkFaults, pages);
		}
		assert.is(shares.get("demand only"), 1);
		for (const name of ["prepaging, 1 pivot", "prepaging, 7 pivots", "prepaging, turns"])
			assert.ok(shares.get(name)! <= 0.04, `${name}: ${shares.get(name)}`);
		assert.ok(shares.get("push only")! > 1.5 * shares.get("prepaging, 7 pivots")!);
	});

test.run();
