// The work loop gives a slowed guest's calls their share of the time, and no more.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { guestPorts } from "../wasm/guest-ports.ts";
import { discardGuests, rejection, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";

const test = suite("wasm guest: slowed down");
test.after.each(discardGuests);

/** Work without memory, some ms of it. */
const SPIN = { call: "spin", values: [2_000_000] } as const;

test("calls take their share of the time, and all of it afterwards", async () => {
	const { clock } = await guestPorts();
	const guest = await startGuest("paged", { moduleBytes: pagedModule() });
	/** The least of five times 40 calls: what else the machine does only adds. */
	const timed = async (): Promise<number> => {
		let least = Number.POSITIVE_INFINITY;
		for (let round = 0; round < 5; round++) {
			const startMs = clock.now();
			for (let i = 0; i < 40; i++) await guest.call(SPIN);
			least = Math.min(least, clock.now() - startMs);
		}
		return least;
	};
	await timed();
	const freeMs = await timed();
	await guest.throttle.limit(0.2);
	const slowMs = await timed();
	await guest.throttle.limit(1);
	const afterMs = await timed();
	console.log(
		`40 calls: ${freeMs.toFixed(1)} ms, ${slowMs.toFixed(1)} ms with a fifth, ${afterMs.toFixed(1)} ms after`,
	);
	assert.ok(slowMs > 2.5 * Math.min(freeMs, afterMs), `${slowMs} ms`);
});

test("a slowed guest pauses as fast as any other, and runs on", async () => {
	const guest = await startGuest("paged", { moduleBytes: pagedModule() });
	await guest.throttle.limit(0.05);
	const calls = Array.from({ length: 20 }, () => guest.call(SPIN));
	await guest.call(SPIN, { signal: AbortSignal.abort() }).catch(() => undefined);
	await guest.pause({ deadlineMs: 2000 });
	await guest.resume();
	await guest.throttle.limit(1);
	await Promise.all(calls);
});

test("a share out of range is refused", async () => {
	const guest = await startGuest("paged", { moduleBytes: pagedModule() });
	for (const share of [0, -1, 1.5, Number.NaN])
		assert.match((await rejection(guest.throttle.limit(share))).message, /share: must be above 0/);
});

test.run();
