import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CallError, ProgramError } from "../../bindings/guests/wasm/errors.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import { ask, discardGuests, rejection, startGuest } from "../wasm/open-guests.ts";

const test = suite("wasm guest: calls");
test.after.each(discardGuests);

test("calls are answered in order, many at once, with bytes in either direction", async () => {
	const guest = await startGuest("scratch");
	const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 167 + (i >> 3)) & 0xff);
	await ask(guest, { do: "write", at: 5000, bytes });
	assert.equal(await ask(guest, { do: "read", at: 5000, byteLength: 1000 }), bytes);
	const counts = await Promise.all(Array.from({ length: 100 }, () => ask(guest, { do: "count" })));
	assert.equal(
		counts,
		Array.from({ length: 100 }, (_, i) => ({ global: i + 1, held: i + 1 })),
	);
	assert.is(guest.pendingCalls, 0);
});

test("asynchronous calls come one at a time", async () => {
	const guest = await startGuest("scratch");
	const order: string[] = [];
	await Promise.all([
		ask(guest, { do: "wait", ms: 30 }).then(() => order.push("slow")),
		ask(guest, { do: "count" }).then(() => order.push("quick")),
	]);
	assert.equal(order, ["slow", "quick"]);
});

test("what the program throws is a ProgramError, and the guest stays usable, after a trap too", async () => {
	const guest = await startGuest("scratch");
	for (const [request, code, message] of [
		[{ do: "throw" }, "threw", /^as asked$/],
		[{ do: "reject" }, "threw", /later/],
		[{ do: "trap" }, "trap", /unreachable/],
		[{ do: "function" }, "unsendable", /clone/i],
	] as const) {
		const error = await rejection(ask(guest, request));
		assert.instance(error, ProgramError, request.do);
		assert.is(error.code, code, request.do);
		assert.match(error.message, message);
	}
	const thrown = (await rejection(ask(guest, { do: "throw" }))) as ProgramError;
	assert.is(thrown.causeName, "RangeError");
	assert.match(thrown.causeStack, /scratch/);
	assert.equal(await ask(guest, { do: "count" }), { global: 1, held: 1 });
	await guest.pause({ deadlineMs: 5000 });
	assert.ok((await guest.state.capture()).byteLength > 0);
});

test("a request that cannot be cloned rejects alone", async () => {
	const guest = await startGuest("scratch");
	const refused = rejection(guest.call(() => undefined));
	const count = ask(guest, { do: "count" });
	assert.instance(await refused, TypeError);
	assert.equal(await count, { global: 1, held: 1 });
});

test("a call can be given up: before it started it never runs", async () => {
	const guest = await startGuest("scratch");
	const busy = ask(guest, { do: "busy", ms: 60 });
	const givenUp = Array.from({ length: 12 }, () => new AbortController());
	const rejections = givenUp.map(({ signal }) => rejection(guest.call({ do: "count" }, { signal })));
	for (const caller of givenUp) caller.abort(new Error("changed my mind"));
	for (const error of await Promise.all(rejections)) assert.match(error.message, /changed my mind/);
	const { signal } = givenUp[0]!;
	assert.match((await rejection(guest.call({ do: "count" }, { signal }))).message, /changed my mind/);
	await busy;
	// The calls that were in the worker could still have started; those that waited outside never did.
	const { held } = (await ask(guest, { do: "count" })) as { held: number };
	assert.ok(held <= 8, `${held} calls ran`);
	assert.is(guest.pendingCalls, 0);
});

test("calls in flight at a discard reject with 'gone', those that waited in a paused guest with 'moved'", async () => {
	const running = await startGuest("scratch");
	const waiting = rejection(ask(running, { do: "wait", ms: 10_000 }));
	await running.discard();
	const gone = await waiting;
	assert.instance(gone, CallError);
	assert.is(gone.code, "gone");

	const paused = await startGuest("scratch");
	await paused.pause({ deadlineMs: 5000 });
	const calls = Array.from({ length: 20 }, () => ask(paused, { do: "count" }));
	assert.is(paused.pendingCalls, 20);
	const rejections = Promise.all(calls.map(rejection));
	await paused.discard();
	for (const error of await rejections) assert.is(error.code, "moved");
	assert.is((await rejection(ask(paused, { do: "count" }))).code, "moved");
});

test("a worker that dies is 'crashed' everywhere", async () => {
	const guest = await startGuest("scratch");
	const cursor = await guest.dirty.open();
	const calls = [rejection(ask(guest, { do: "die" })), rejection(ask(guest, { do: "count" }))];
	for (const error of await Promise.all(calls)) {
		assert.instance(error, GuestError);
		assert.is(error.code, "crashed");
		assert.match(error.message, /died as asked/);
	}
	assert.is((await rejection(guest.pause({ deadlineMs: 1000 }))).code, "crashed");
	assert.is((await rejection(cursor.harvest())).code, "crashed");
	assert.is((await rejection(ask(guest, { do: "count" }))).code, "crashed");
	await cursor.close();
});

test("what start and initialize refuse leaves no guest", async () => {
	assert.is((await rejection(startGuest("scratch-glue"))).code, "incompatible");
	assert.match((await rejection(startGuest("no-such-program"))).message, /no-such-program/);
	assert.instance(await rejection(startGuest("scratch", { sliceMs: 0 })), RangeError);
});

test("calls that wait while the guest runs elsewhere are turned away, unexecuted; when it runs on here they are taken", async () => {
	const guest = await startGuest("scratch");
	assert.is((await rejection(Promise.resolve().then(() => guest.turnCallsAway()))).code, "not-paused");
	await ask(guest, { do: "count" });
	await guest.pause({ deadlineMs: 5000 });
	const waiting = Array.from({ length: 12 }, () => rejection(ask(guest, { do: "count" })));
	guest.turnCallsAway();
	for (const error of [...(await Promise.all(waiting)), await rejection(ask(guest, { do: "count" }))]) {
		assert.instance(error, CallError);
		assert.is(error.code, "moved");
	}
	await guest.resume();
	assert.equal(await ask(guest, { do: "count" }), { global: 2, held: 2 });
});

test.run();
