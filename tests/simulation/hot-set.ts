// A guest with locality, in virtual time: it keeps using some of its pages, scattered over its memory, in an order that the
// addresses do not show, and now and then one of the others. It is moved by post-copy over 117 MB/s with 60 µs each way.
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import type { MoveMetrics } from "../../bindings/migration/metrics.ts";
import { type PostCopyOptions, postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";

const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };
const WORK_MS = 0.04;
/** Of the pages, how many are hot; of the uses, how many meet another. */
const HOT_SHARE = 1 / 8;
const COLD_USES = 1 / 32;

/** Moves a guest of so many pages while it works. @throws Error unless it is moved */
export async function moveHotSet(pageCount: number, options: PostCopyOptions): Promise<MoveMetrics> {
	const clock = new VirtualClock(systemClock);
	const random = new SeededRandom(11);
	const guest = new MemoryGuest({ pageCount });
	guest.write(0, random.fill(new Uint8Array(pageCount * PAGE_BYTES)));
	const shuffled = shuffle(pageCount, random);
	const hot = shuffled.slice(0, pageCount * HOT_SHARE);
	const page = (use: number): number =>
		random.nextU32() / 2 ** 32 < COLD_USES ? shuffled[random.nextU32() % pageCount]! : hot[use % hot.length]!;
	let runner: MemoryGuest = guest;
	let over = false;
	return clock.run(async () => {
		const work = async (): Promise<void> => {
			for (let use = 0; !over; use++) {
				await runner.touch(page(use) * PAGE_BYTES, 1).catch(expectGone);
				await clock.sleep(WORK_MS);
			}
		};
		void work();
		await clock.sleep(pageCount * HOT_SHARE * WORK_MS); // it has been at work before anybody moves it
		const line = connectSimulated(clock, { rateBytesPerMs: 117_000, latencyMs: 0.06 });
		const factory = new MemoryGuestFactory(clock, pageCount);
		const received = receiveGuest({ link: new StreamLink(line.b, LINK), clock, factories: [factory] });
		const link = new StreamLink(line.a, LINK);
		const learnMs = pageCount * HOT_SHARE * WORK_MS * 1.2;
		const moved = postCopy(
			{ guest, link, clock, random },
			{ learnMs, leaveOutZeroPages: false, compression: () => false, ...options },
		);
		const at = await received;
		if (at.outcome !== "running" || !(at.guest instanceof MemoryGuest)) throw new Error(`the guest is ${at.outcome}`);
		runner = at.guest;
		const result = await moved;
		over = true;
		if (result.outcome !== "moved") throw new Error(`the move is ${result.outcome}`);
		return result.metrics;
	});
}

function shuffle(count: number, random: SeededRandom): number[] {
	const order = Array.from({ length: count }, (_, i) => i);
	for (let i = count - 1; i > 0; i--) {
		const j = random.nextU32() % (i + 1);
		[order[i], order[j]] = [order[j]!, order[i]!];
	}
	return order;
}

function expectGone(error: unknown): void {
	if (!(error instanceof GuestError)) throw error;
}
