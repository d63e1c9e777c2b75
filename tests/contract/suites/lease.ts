// What every Lease keeps. Guests run by it: at most one holder, ever.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Clock } from "../../../bindings/ports/clock.ts";
import type { Lease, LeaseGrant } from "../../../bindings/ports/lease.ts";

/** One lease as two holders see it, and the clock that its deadlines are on. */
export interface TestLease {
	readonly lease: Lease;
	readonly other: Lease;
	readonly clock: Clock;
	/** Runs the body, in virtual time where the lease lives there. */
	run(body: () => Promise<void>): Promise<void>;
}

/** A deadline too far away to wait for: a lease that only a caller moves. */
const NEVER_MS = 1e9;

function granted(grant: LeaseGrant | undefined): LeaseGrant {
	assert.ok(grant !== undefined, "the lease was not granted");
	return grant as LeaseGrant;
}

/** Adds the contract's tests to `test`. */
export function leaseContract(test: ReturnType<typeof suite>, make: () => TestLease): void {
	const check = (name: string, body: (made: TestLease) => Promise<void>) =>
		test(name, async () => {
			const made = make();
			await made.run(() => body(made));
		});
	const expires = (grant: LeaseGrant, clock: Clock) => grant.expiresAtMs - clock.now() < NEVER_MS;

	check("a lease that somebody holds is not granted again", async ({ lease, other, clock }) => {
		const grant = granted(await lease.acquire());
		assert.ok(grant.expiresAtMs > clock.now());
		assert.is(await other.acquire(), undefined);
		assert.is(await lease.acquire(), undefined, "not to its holder either");
	});

	check("of many that ask at once exactly one gets it", async ({ lease, other }) => {
		const grants = await Promise.all(Array.from({ length: 20 }, (_, index) => (index % 2 ? lease : other).acquire()));
		assert.is(grants.filter((grant) => grant !== undefined).length, 1);
	});

	check("a released lease goes to the next one, with a larger token each time", async ({ lease, other }) => {
		let token = Number.NEGATIVE_INFINITY;
		for (let turn = 0; turn < 10; turn++) {
			const holder = turn % 2 ? lease : other;
			const grant = granted(await holder.acquire());
			assert.ok(grant.token > token);
			token = grant.token;
			await holder.release(grant);
		}
	});

	check("renewing keeps the token and never moves the deadline back", async ({ lease, other, clock }) => {
		let grant = granted(await lease.acquire());
		for (let turn = 0; turn < 5; turn++) {
			if (expires(grant, clock)) await clock.sleep((grant.expiresAtMs - clock.now()) / 2);
			const renewed = granted(await lease.renew(grant));
			assert.is(renewed.token, grant.token);
			assert.ok(renewed.expiresAtMs >= grant.expiresAtMs);
			assert.is(await other.acquire(), undefined);
			grant = renewed;
		}
	});

	check("what an old grant says counts for nothing: it neither renews nor releases", async ({ lease, other }) => {
		const old = granted(await lease.acquire());
		await lease.release(old);
		await lease.release(old);
		const current = granted(await other.acquire());
		assert.is(await lease.renew(old), undefined);
		await lease.release(old);
		assert.is(await lease.acquire(), undefined, "it is still held");
		assert.is(granted(await other.renew(current)).token, current.token);
	});

	check("a grant that is not renewed in time is lost, and somebody else gets the lease", async (made) => {
		const { lease, other, clock } = made;
		const grant = granted(await lease.acquire());
		if (!expires(grant, clock)) return;
		await clock.sleep(grant.expiresAtMs - clock.now());
		assert.is(await lease.renew(grant), undefined, "too late for its holder from its deadline on");
		let next = await other.acquire();
		// The keeper may wait longer than the holder, never shorter.
		for (let wait = 0; next === undefined; wait++) {
			assert.ok(wait < 10_000, "an expired lease is never granted again");
			await clock.sleep(1);
			next = await other.acquire();
		}
		assert.ok(next.token > grant.token);
		assert.is(await lease.renew(grant), undefined);
		await lease.release(grant);
		assert.is(await lease.acquire(), undefined);
	});

	check("it is not granted a moment before its holder's deadline", async ({ lease, other, clock }) => {
		const grant = granted(await lease.acquire());
		if (!expires(grant, clock)) return;
		while (clock.now() < grant.expiresAtMs - 1) {
			assert.is(await other.acquire(), undefined);
			await clock.sleep(Math.min(1, grant.expiresAtMs - 1 - clock.now()));
		}
		assert.is(await other.acquire(), undefined);
	});
}
