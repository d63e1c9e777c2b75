// A source that is killed: before *go* the target discards what it has, after it the target runs the guest alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FrameProxy, type Stop } from "./frame-proxy.ts";
import { expectNoGuest, nextEvent, Stage } from "./stage.ts";

const test = suite("source killed");

const BEFORE_GO: readonly Omit<Stop, "act">[] = [
	{ from: "source", record: "batch", nth: 4 },
	{ from: "source", record: "digest" },
	{ from: "target", record: "ready" },
	{ from: "source", record: "go" },
];

for (const { from, record, nth = 1 } of BEFORE_GO)
	test(`killed before the ${from}'s ${record} ${nth} arrives: the target discards everything, and can take another guest`, async () => {
		const { stage, source, target, door } = await Stage.open();
		try {
			const proxy = await FrameProxy.open(door, { from, record, nth, act: "hold" });
			stage.later(() => proxy.close());
			const moving = stage.move(source, target, proxy.address).catch((error: { code?: string }) => error.code);
			await proxy.metDuring(moving);
			const discarded = nextEvent(target, "received");
			source.kill("SIGKILL");
			assert.is(await moving, "ended");
			proxy.cut();
			assert.is((await discarded).outcome, "discarded");
			await expectNoGuest(target);
			const other = new Stage();
			stage.later(() => other.client.stop());
			const second = await stage.host("node", "second source");
			await other.startGuest(second);
			const report = await other.move(second, target, door);
			assert.is(report.outcome, "moved", report.failure?.message);
			await other.expectUndisturbed(target);
		} finally {
			await stage.dispose();
		}
	});

test("killed after go arrived: the target runs the guest, and the client finds it there", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "target", record: "running", act: "hold" });
		stage.later(() => proxy.close());
		const moving = stage.move(source, target, proxy.address).catch((error: { code?: string }) => error.code);
		await proxy.metDuring(moving);
		const received = nextEvent(target, "received");
		source.kill("SIGKILL");
		assert.is(await moving, "ended");
		proxy.cut();
		assert.is((await received).outcome, "running");
		await stage.client.follow(target.hello.clients);
		await stage.expectUndisturbed(target);
	} finally {
		await stage.dispose();
	}
});

test.run();
