// A target that is killed before *go*, at every point that a frame can mark: the guest runs on at the source.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FrameProxy, type Stop } from "./frame-proxy.ts";
import { Stage } from "./stage.ts";

const test = suite("target killed before go");

/** A dead peer is noticed by its socket, long before any deadline. */
const NOTICED_WITHIN_MS = 3000;

const MOMENTS: readonly Omit<Stop, "act">[] = [
	{ from: "source", record: "hello" },
	{ from: "target", record: "welcome" },
	{ from: "target", record: "prepared" },
	{ from: "source", record: "batch" },
	{ from: "source", record: "batch", nth: 8 },
	{ from: "source", record: "state" },
	{ from: "source", record: "digest" },
	{ from: "target", record: "ready" },
];

for (const { from, record, nth = 1 } of MOMENTS)
	test(`killed while the ${from}'s ${record} ${nth} is on its way: kept, and the client goes on`, async () => {
		const { stage, source, target, door } = await Stage.open();
		try {
			const proxy = await FrameProxy.open(door, { from, record, nth, act: "hold" });
			stage.later(() => proxy.close());
			const moving = stage.move(source, target, proxy.address);
			await proxy.metDuring(moving);
			target.kill("SIGKILL");
			await target.ended;
			const killedMs = stage.platform.clock.now();
			proxy.cut();
			const report = await moving;
			assert.is(report.outcome, "kept", report.failure?.message);
			assert.is(report.failure?.code, "link-lost");
			assert.ok(stage.platform.clock.now() - killedMs < NOTICED_WITHIN_MS);
			await stage.expectUndisturbed(source);
		} finally {
			await stage.dispose();
		}
	});

test("after a target was killed, the same guest moves to another one", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "batch", nth: 4, act: "hold" });
		stage.later(() => proxy.close());
		const moving = stage.move(source, target, proxy.address);
		await proxy.metDuring(moving);
		target.kill("SIGKILL");
		proxy.cut();
		assert.is((await moving).outcome, "kept");
		const second = await stage.host("node", "second target");
		const report = await stage.move(source, second, await stage.receive(second));
		assert.is(report.outcome, "moved", report.failure?.message);
		await stage.expectUndisturbed(second);
	} finally {
		await stage.dispose();
	}
});

test.run();
