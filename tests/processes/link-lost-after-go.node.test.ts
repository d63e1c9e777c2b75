// The link is lost around *go*: the source cannot know, and does not guess. Never two runners; asking settles it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { HostProcess } from "../../bindings/cli/host-process.ts";
import { FrameProxy } from "./frame-proxy.ts";
import { expectNoGuest, nextEvent, SHORT_DEADLINES, Stage } from "./stage.ts";

const test = suite("link lost after go");

/** A number that no client uses: whoever runs the guest answers it, so as long as it waits the guest does not run there. */
const probe = (host: HostProcess): { readonly settled: Promise<string>; isSettled(): boolean } => {
	let isSettled = false;
	const settled = host.order("call", { request: { number: 1_000_000, request: "SELECT 1" } }).then(
		({ response }) => String(response),
		(error: { code?: string }) => error.code ?? "failed",
	);
	settled.finally(() => {
		isSettled = true;
	});
	return { settled, isSettled: () => isSettled };
};

test("go arrived and the answer was lost: unconfirmed; the target says that it runs, and the client goes there", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "go", act: "cut-after" });
		stage.later(() => proxy.close());
		const received = nextEvent(target, "received");
		const report = await stage.move(source, target, proxy.address);
		assert.is(report.outcome, "unconfirmed", report.failure?.message);
		assert.is((await received).outcome, "running");
		const here = probe(source);
		const clients = target.hello.clients;
		// The target runs; the source has been asked longer and must still be silent.
		await target.order("call", { request: { digest: true } });
		assert.not.ok(here.isSettled(), "the source answered while the target ran");
		const settled = await source.order("resolve", { moveId: report.moveId, target: door, clients });
		assert.is(settled.outcome, "moved", settled.failure?.message);
		assert.is(await here.settled, "moved");
		await stage.expectUndisturbed(target);
	} finally {
		await stage.dispose();
	}
});

test("go was lost: unconfirmed; the target has declined, and the guest runs on at the source", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "go", act: "cut-before" });
		stage.later(() => proxy.close());
		const received = nextEvent(target, "received");
		const report = await stage.move(source, target, proxy.address);
		assert.is(report.outcome, "unconfirmed", report.failure?.message);
		assert.is((await received).outcome, "discarded");
		const clients = target.hello.clients;
		const settled = await source.order("resolve", { moveId: report.moveId, target: door, clients });
		assert.is(settled.outcome, "kept", settled.failure?.message);
		await expectNoGuest(target);
		await stage.expectUndisturbed(source);
	} finally {
		await stage.dispose();
	}
});

test("go is late: the target that was asked in the meantime has declined, and the late go is void", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "go", act: "hold" });
		stage.later(() => proxy.close());
		const received = nextEvent(target, "received", ({ outcome }) => outcome !== "answered");
		const report = await stage.move(source, target, proxy.address, { deadlines: SHORT_DEADLINES });
		assert.is(report.outcome, "unconfirmed", report.failure?.message);
		const clients = target.hello.clients;
		const settled = await source.order("resolve", { moveId: report.moveId, target: door, clients });
		assert.is(settled.outcome, "kept", settled.failure?.message);
		proxy.release();
		assert.is((await received).outcome, "discarded");
		await expectNoGuest(target);
		await stage.expectUndisturbed(source);
	} finally {
		await stage.dispose();
	}
});

test("the target was killed after go: the caller, who saw it end, decides that the guest runs on at the source", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "go", act: "hold" });
		stage.later(() => proxy.close());
		const moving = stage.move(source, target, proxy.address);
		await proxy.metDuring(moving);
		target.kill("SIGKILL");
		await target.ended;
		proxy.cut();
		const report = await moving;
		assert.is(report.outcome, "unconfirmed", report.failure?.message);
		const clients = target.hello.clients;
		const settled = await source.order("decide", { moveId: report.moveId, owner: "kept", clients });
		assert.is(settled.outcome, "kept", settled.failure?.message);
		await stage.expectUndisturbed(source);
	} finally {
		await stage.dispose();
	}
});

test.run();
