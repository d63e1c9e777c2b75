// A target that is alive but does nothing (SIGSTOP): only deadlines tell. The source keeps its guest, and the target, when
// it wakes, gives up what it had.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FrameProxy, type Stop } from "./frame-proxy.ts";
import { expectNoGuest, nextEvent, SHORT_DEADLINES, Stage } from "./stage.ts";

const test = suite("target frozen before go");

const MOMENTS: readonly Omit<Stop, "act">[] = [
	{ from: "source", record: "batch", nth: 4 },
	{ from: "source", record: "digest" },
];

for (const { from, record, nth = 1 } of MOMENTS)
	test(`frozen before the ${from}'s ${record} ${nth} arrives: kept at the deadline; the target discards when it wakes`, async () => {
		const { stage, source, target, door } = await Stage.open();
		try {
			const proxy = await FrameProxy.open(door, { from, record, nth, act: "hold" });
			stage.later(() => proxy.close());
			const moving = stage.move(source, target, proxy.address, { deadlines: SHORT_DEADLINES });
			await proxy.metDuring(moving);
			target.kill("SIGSTOP");
			proxy.release();
			const report = await moving;
			assert.is(report.outcome, "kept", report.failure?.message);
			assert.is(report.failure?.code, "deadline", report.failure?.message);
			const discarded = nextEvent(target, "received");
			target.kill("SIGCONT");
			assert.is((await discarded).outcome, "discarded");
			await expectNoGuest(target);
			await stage.expectUndisturbed(source);
		} finally {
			await stage.dispose();
		}
	});

test("a target that woke up again takes the same guest at the next attempt", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "digest", act: "hold" });
		stage.later(() => proxy.close());
		const moving = stage.move(source, target, proxy.address, { deadlines: SHORT_DEADLINES });
		await proxy.metDuring(moving);
		target.kill("SIGSTOP");
		assert.is((await moving).outcome, "kept");
		const discarded = nextEvent(target, "received");
		target.kill("SIGCONT");
		proxy.cut();
		await discarded;
		const report = await stage.move(source, target, door);
		assert.is(report.outcome, "moved", report.failure?.message);
		await stage.expectUndisturbed(target);
	} finally {
		await stage.dispose();
	}
});

test.run();
