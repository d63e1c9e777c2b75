import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ManualLease } from "../../bindings/handover/manual-lease.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { leaseContract } from "./suites/lease.ts";

const test = suite("manual lease");
leaseContract(test, () => {
	const lease = new ManualLease();
	return { lease, other: lease, clock: systemClock, run: (body) => body() };
});

test("the caller's word takes it from its holder", async () => {
	const lease = new ManualLease();
	const held = await lease.acquire();
	assert.is(held?.expiresAtMs, Number.POSITIVE_INFINITY);
	lease.revoke();
	assert.ok(held);
	assert.is(await lease.renew(held), undefined);
	const next = await lease.acquire();
	assert.ok(next && next.token > held.token);
});

test.run();
