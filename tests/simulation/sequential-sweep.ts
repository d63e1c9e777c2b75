// The paper's sequential stress in virtual time: the guest sweeps over its working set, 40 µs of work per page, while its
// pages come over 117 MB/s with 60 µs each way. Pages lie in runs of 28 in device order, fitted to
// the paper.
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
import type { PushOrder } from "../../bindings/policies/push-order.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

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

/** Moves a guest of so many pages while it sweeps. @throws Error unless it is moved */
export async function sweep(pageCount: number, push: PushOrder): Promise<MoveMetrics> {
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
		if (at.outcome !== "running" || !(at.guest instanceof MemoryGuest)) throw new Error(`the guest is ${at.outcome}`);
		for (const page of order) {
			await at.guest.touch(page * PAGE_BYTES, 1);
			await clock.sleep(WORK_MS);
		}
		const result = await moved;
		if (result.outcome !== "moved") throw new Error(`the move is ${result.outcome}`);
		return result.metrics;
	});
}
