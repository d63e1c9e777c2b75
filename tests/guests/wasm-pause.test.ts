import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { ask, discardGuests, rejection, startGuest } from "../wasm/open-guests.ts";
import type { ScratchRequest } from "../wasm/scratch-program.ts";

const test = suite("wasm guest: pause");
test.after.each(discardGuests);

/**
 * A call that runs when this resolves: a pause may overtake calls that have not started. @returns its answer
 */
async function running(guest: WasmGuest, request: ScratchRequest): Promise<{ readonly answer: Promise<unknown> }> {
	const before = ask(guest, { do: "history" });
	const answer = ask(guest, request);
	answer.catch(() => undefined);
	await before;
	await new Promise((resolve) => setTimeout(resolve, 20));
	return { answer };
}

test("a pause waits for the call under way, and calls made meanwhile wait for the resume", async () => {
	const guest = await startGuest("scratch");
	const { answer: slow } = await running(guest, { do: "wait", ms: 100 });
	let hasEnded = false;
	void slow.then(() => {
		hasEnded = true;
	});
	const next = ask(guest, { do: "count" });
	await guest.pause({ deadlineMs: 5000 });
	assert.ok(hasEnded, "the call had ended at the pause point");
	assert.is(guest.pendingCalls, 1);
	assert.ok(guest.takeInterruptions().pauseWaitMs > 0);
	await guest.resume();
	assert.equal(await next, { global: 1, held: 1 });
	assert.equal(await ask(guest, { do: "history" }), ["initialize", "quiesce", "wake"]);
	assert.is(guest.takeInterruptions().pauseWaitMs, 0);
});

test("a call that outlasts the deadline is 'pause-deadline': the guest runs on and the late pause is undone", async () => {
	const guest = await startGuest("scratch");
	const { answer: busy } = await running(guest, { do: "busy", ms: 300 });
	const error = await rejection(guest.pause({ deadlineMs: 30 }));
	assert.is(error.code, "pause-deadline");
	assert.is(await busy, "done");
	// If the late pause had not been undone, this call would wait for ever.
	assert.equal(await ask(guest, { do: "count" }), { global: 1, held: 1 });
	await guest.pause({ deadlineMs: 5000 });
	await guest.resume();
});

test("a call that never ends is 'pause-deadline' at the deadline, and the guest can be discarded", async () => {
	const guest = await startGuest("scratch");
	const { answer: spinning } = await running(guest, { do: "spin" });
	const start = performance.now();
	assert.is((await rejection(guest.pause({ deadlineMs: 100 }))).code, "pause-deadline");
	assert.ok(performance.now() - start < 5000);
	await guest.discard();
	assert.is((await rejection(spinning)).code, "gone");
});

test("a pause can be given up by its signal; the guest runs on", async () => {
	const guest = await startGuest("scratch");
	const { answer: busy } = await running(guest, { do: "busy", ms: 100 });
	const stop = new AbortController();
	const paused = rejection(guest.pause({ deadlineMs: 5000, signal: stop.signal }));
	stop.abort(new Error("not now"));
	assert.match((await paused).message, /not now/);
	assert.match((await rejection(guest.pause({ deadlineMs: 5000, signal: stop.signal }))).message, /not now/);
	await busy;
	await ask(guest, { do: "count" });
});

test("a paused guest does not change, and its state can be captured", async () => {
	const guest = await startGuest("scratch");
	await ask(guest, { do: "count" });
	assert.is((await rejection(guest.state.capture())).code, "not-paused");
	await guest.pause({ deadlineMs: 5000 });
	const calls = [ask(guest, { do: "count" }), ask(guest, { do: "write", at: 8192, bytes: Uint8Array.of(1) })];
	const before = await guest.pages.hashes(0, guest.pages.pageCount);
	const state = await guest.state.capture();
	await new Promise((resolve) => setTimeout(resolve, 20));
	assert.equal(await guest.pages.hashes(0, guest.pages.pageCount), before);
	assert.equal(await guest.state.capture(), state);
	await guest.resume();
	await Promise.all(calls);
	assert.not.equal(await guest.pages.hashes(0, guest.pages.pageCount), before);
});

test("a guest that has run takes nothing that is for targets", async () => {
	const guest = await startGuest("scratch");
	await guest.pause({ deadlineMs: 5000 });
	const batch = await guest.pages.encode(Uint32Array.of(0), { compress: false });
	assert.is((await rejection(guest.pages.apply(batch))).code, "not-paused");
	assert.is((await rejection(guest.pages.grow(1024))).code, "not-paused");
	assert.is((await rejection(guest.state.restore(new Uint8Array(12)))).code, "not-paused");
});

test.run();
