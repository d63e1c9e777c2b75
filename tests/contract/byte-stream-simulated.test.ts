import { suite } from "uvu";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { byteStreamContract } from "./suites/byte-stream.ts";

const test = suite("byte stream over a simulated gigabit line");
byteStreamContract(test, async (body) => {
	const clock = new VirtualClock(systemClock);
	const { a, b } = connectSimulated(clock, { rateBytesPerMs: 117_000, latencyMs: 0.2 });
	await clock.run(async () => {
		await body({ near: a, far: b, settle: () => clock.sleep(1000) });
		a.abort("the test is over");
		b.abort("the test is over");
	});
});
test.run();
