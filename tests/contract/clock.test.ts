import { suite } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { clockContract } from "./suites/clock.ts";

const test = suite("system clock");
clockContract(test, () => ({ clock: systemClock, run: (body) => body() }));

test("sleeping 0 again and again starves no timer", async () => {
	let isOver = false;
	const other = systemClock.sleep(1).then(() => {
		isOver = true;
	});
	for (let turn = 0; !isOver; turn++) {
		assert.ok(turn < 10_000_000);
		await systemClock.sleep(0);
	}
	await other;
});

test.run();
