import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LeaseKeeper } from "../../bindings/epochs/lease-keeper.ts";
import { MemoryLease } from "../../bindings/handover/memory-lease.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type Lease, LeaseError, type LeaseGrant } from "../../bindings/ports/lease.ts";

const test = suite("keeper of a lease");

const TTL_MS = 40;

type Answer = (renew: () => Promise<LeaseGrant | undefined>, clock: VirtualClock) => Promise<LeaseGrant | undefined>;

/** Keeps a grant for `forMs`, with a lease whose n-th renewal is answered by `answers[n]`, and well afterwards. */
async function keep(forMs: number, answers: readonly Answer[]) {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const memory = new MemoryLease(clock, { timeToLiveMs: TTL_MS });
		let asked = 0;
		const lease: Lease = {
			acquire: () => memory.acquire(),
			release: (grant) => memory.release(grant),
			renew: (grant) => {
				const answer = answers[asked++];
				return answer === undefined ? memory.renew(grant) : answer(() => memory.renew(grant), clock);
			},
		};
		const grant = await memory.acquire();
		assert.ok(grant !== undefined);
		const keeper = new LeaseKeeper(lease, grant, clock);
		const lost: number[] = [];
		const keeping = keeper.keep(() => lost.push(clock.now()));
		await clock.sleep(forMs);
		const { holds } = keeper;
		keeper.stop();
		await keeping;
		assert.is(clock.pending, 0, "a timer is left");
		return { holds, lost, asked, now: clock.now() };
	});
}

const never: Answer = () => new Promise(() => undefined);
const away: Answer = async () => {
	throw new LeaseError("unavailable", "nobody answers");
};
const refused: Answer = async () => undefined;
const late =
	(byMs: number): Answer =>
	async (renew, clock) => {
		await clock.sleep(byMs);
		return renew();
	};

test("a lease that is answered holds as long as it is kept", async () => {
	const { holds, lost, asked } = await keep(500, []);
	assert.is(holds, true);
	assert.equal(lost, []);
	assert.ok(asked >= 20 && asked <= 30, `asked ${asked} times`);
});

test("renewals that never settle do not hide the end of the lease", async () => {
	const { holds, lost, asked } = await keep(
		500,
		Array.from({ length: 100 }, () => never),
	);
	assert.is(holds, false);
	assert.is(lost.length, 1);
	assert.ok(lost[0]! >= TTL_MS && lost[0]! < TTL_MS + 0.1, `lost at ${lost[0]} ms`);
	assert.ok(asked > 1 && asked < 50, `asked ${asked} times`);
});

test("one renewal that never settles is asked again, and the lease is kept", async () => {
	const { holds, lost } = await keep(500, [never, away, never]);
	assert.is(holds, true);
	assert.equal(lost, []);
});

test("a keeper that cannot be asked is asked again, until the deadline", async () => {
	const { lost } = await keep(
		500,
		Array.from({ length: 100 }, () => away),
	);
	assert.ok(lost.length === 1 && lost[0]! < TTL_MS + 0.1, `lost at ${lost} ms`);
});

test("a refusal counts at once, also when it comes late", async () => {
	assert.equal((await keep(500, [refused])).lost, [TTL_MS / 2]);
	const lateRefusal: Answer = async (_, clock) => {
		await clock.sleep(12);
		return undefined;
	};
	assert.equal((await keep(500, [lateRefusal, never, never, never, never])).lost, [TTL_MS / 2 + 12]);
});

test("an answer that comes late still extends the lease, unless it was lost meanwhile", async () => {
	const hung = Array.from({ length: 4 }, () => never);
	assert.equal((await keep(60, [late(15), ...hung])).lost, []);
	const { lost, holds } = await keep(500, [late(30), ...Array.from({ length: 50 }, () => never)]);
	assert.is(lost.length, 1);
	assert.is(holds, false);
});

test.run();
