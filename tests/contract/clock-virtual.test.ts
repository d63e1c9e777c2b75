import { suite } from "uvu";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { clockContract } from "./suites/clock.ts";

const test = suite("virtual clock");
clockContract(test, () => {
	const clock = new VirtualClock();
	return { clock, run: (body) => clock.run(body) };
});
test.run();
