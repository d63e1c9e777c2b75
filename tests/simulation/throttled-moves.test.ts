/** A guest that dirties faster than the link carries is slowed down until it converges, and has all its time afterwards. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { BallooningWorld } from "./ballooning-world.ts";

const test = suite("pre-copy that slows its guest down");
const PAGES = 400;
/** As deltas, or compressed, its two bytes a page would converge by itself. */
const WHOLE_PAGES = { compression: () => false, deltaCachePages: 0 };

/** A guest that writes to a page per 0.1 ms of its time: 40 MB/s, over a link of 20. */
function busyWorld(): { readonly world: BallooningWorld; readonly shares: number[]; work(): Promise<void> } {
	const world = new BallooningWorld(1, PAGES);
	const shares: number[] = [];
	const limit = (share: number): Promise<void> => Promise.resolve(void shares.push(share));
	Object.assign(world.guest, { throttle: { limit } });
	const work = async (): Promise<void> => {
		for (let writes = 1; world.guest.running; writes++) {
			world.guest.write((writes % PAGES) * PAGE_BYTES, Uint8Array.of(writes >>> 8, writes));
			await world.clock.sleep(0.1 / (shares.at(-1) ?? 1));
		}
	};
	return { world, shares, work };
}

test("without it the rest is large; with it the downtime is short, and the report says what it cost", async () => {
	const downtimes: number[] = [];
	for (const whenNotConverging of ["switch-over", "throttle"] as const) {
		const { world, shares, work } = busyWorld();
		await world.clock.run(async () => {
			const options = { downtimeLimitMs: 5, whenNotConverging, ...WHOLE_PAGES };
			const { result } = await world.move("pre-copy", work, options);
			assert.is(result.outcome, "moved", JSON.stringify(result));
			downtimes.push(result.metrics.downtimeMs);
			if (whenNotConverging === "switch-over") return assert.is(result.metrics.throttledToShare, undefined);
			assert.is(shares.at(-1), 1);
			assert.is(result.metrics.throttledToShare, Math.min(...shares));
			assert.is(result.metrics.stopReason, "downtime-limit");
		});
	}
	assert.ok(downtimes[1]! < 12 && downtimes[0]! > 3 * downtimes[1]!, `${downtimes}`);
});

test("a guest that cannot be slowed down is kept, and told so", async () => {
	const { world, work } = busyWorld();
	Reflect.deleteProperty(world.guest, "throttle");
	await world.clock.run(async () => {
		const line = world.connect();
		const { clock, guest, random } = world;
		void work();
		const result = await preCopy(
			{ guest, link: line, clock, random },
			{ downtimeLimitMs: 5, whenNotConverging: "throttle", ...WHOLE_PAGES },
		);
		assert.is(result.outcome, "kept");
		assert.match(result.outcome === "kept" ? result.error.message : "", /cannot be slowed down/);
		assert.equal(result.metrics.rounds, [], "before anything has travelled");
		assert.is(result.metrics.setupMs, 0);
		assert.ok(guest.running);
		await guest.discard();
	});
});

test("the limit on the total time holds for all steps of the brake together", async () => {
	const { world, shares, work } = busyWorld();
	await world.clock.run(async () => {
		const limitMs = 400;
		const startedMs = world.clock.now();
		const line = world.connect();
		const { clock, guest, random } = world;
		void work();
		const options = {
			...WHOLE_PAGES,
			whenNotConverging: "throttle",
			convergence: () => "iterations" as const,
			totalTime: { limitMs, onLimit: "cancel" },
		} as const;
		const result = await preCopy({ guest, link: line, clock, random }, options);
		const tookMs = world.clock.now() - startedMs;
		assert.ok(result.outcome === "kept" && result.error.code === "total-time", JSON.stringify(result));
		assert.ok(shares.length > 3, `${shares}: the limit fell into the first step`);
		assert.ok(tookMs < limitMs + 50, `${tookMs} ms`);
		await world.guest.discard();
	});
});

test("what changed is so little that it converges by itself: as deltas, without compression", async () => {
	const { world, shares, work } = busyWorld();
	await world.clock.run(async () => {
		const options = { downtimeLimitMs: 5, whenNotConverging: "throttle", compression: () => false } as const;
		const { result } = await world.move("pre-copy", work, options);
		assert.is(result.outcome, "moved", JSON.stringify(result));
		assert.equal(shares, []);
		assert.is(result.metrics.stopReason, "downtime-limit");
		const { delta = 0 } = result.metrics.pageKinds ?? {};
		assert.ok(delta > PAGES / 2, JSON.stringify(result.metrics.pageKinds));
		// Each held version has a slot of 32 bytes beside it.
		assert.ok(result.metrics.memoryBytes > 2 ** Math.ceil(Math.log2(PAGES)) * (PAGE_BYTES + 32));
	});
});

test.run();
