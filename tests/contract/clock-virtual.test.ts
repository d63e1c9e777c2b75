import { suite } from "uvu";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { clockContract } from "./suites/clock.ts";

const test = suite("virtual clock");
clockContract(test, () => {
	const clock = new VirtualClock(systemClock);
	return { clock, run: (body) => clock.run(body) };
});
test.run();
