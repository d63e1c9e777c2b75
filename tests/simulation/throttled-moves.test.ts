/** A guest that dirties faster than the link carries is slowed down until it converges, and has all its time afterwards. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { BallooningWorld } from "./ballooning-world.ts";

const test = suite("pre-copy that slows its guest down");
const PAGES = 400;

/** A guest that writes to a page per 0.1 ms of its time: 40 MB/s, over a link of 20. */
function busyWorld(): { readonly world: BallooningWorld; readonly shares: number[]; work(): Promise<void> } {
	const world = new BallooningWorld(1, PAGES);
	const shares: number[] = [];
	const limit = (share: number): Promise<void> => Promise.resolve(void shares.push(share));
	Object.assign(world.guest, { throttle: { limit } });
	const work = async (): Promise<void> => {
		for (let page = 0; world.guest.running; page = (page + 1) % PAGES) {
			world.guest.write(page * PAGE_BYTES, Uint8Array.of(page & 255));
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
			const options = { downtimeLimitMs: 5, whenNotConverging };
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
			{ downtimeLimitMs: 5, whenNotConverging: "throttle" },
		);
		assert.is(result.outcome, "kept");
		assert.match(result.outcome === "kept" ? result.error.message : "", /cannot be slowed down/);
		assert.ok(guest.running);
		await guest.discard();
	});
});

test.run();
