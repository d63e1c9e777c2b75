import { suite } from "uvu";
import { MemoryLease } from "../../bindings/handover/memory-lease.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { leaseContract } from "./suites/lease.ts";

const test = suite("memory lease");
leaseContract(test, () => {
	const clock = new VirtualClock(systemClock);
	const lease = new MemoryLease(clock, { timeToLiveMs: 2000, graceMs: 100 });
	return { lease, other: lease, clock, run: (body) => clock.run(body) };
});
test.run();
