import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import { type StartV86GuestOptions, V86Guest } from "../../bindings/guests/v86/guest.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { ConvergencePolicy } from "../../bindings/policies/convergence.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import { bootSectorFirmware, letterFault, Mode, oracleFault, SWEPT, Variable } from "../v86/boot-sector.ts";
import { Console, moveV86 } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, openBootSector, runBootSector, v86, word } from "../v86/open-guests.ts";

const test = suite("v86 guest: moves");
const open = new Set<V86Guest>();
const keep = (guest: V86Guest): V86Guest => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const memoryOf = (guest: V86Guest): Uint8Array => guest.readMemory(0, MEMORY_BYTES);

/** A guest at the memory oracle, and its letters. */
async function oracle(options: Partial<StartV86GuestOptions> = {}): Promise<{ guest: V86Guest; console: Console }> {
	const guest = keep(await runBootSector("oracle", options));
	const console = new Console();
	console.follow(guest);
	await console.more(10);
	return { guest, console };
}

/** Slow enough that the guest changes most of what was sent before it is paused. */
const SLOWLY = { bandwidthBytesPerMs: 100_000 };

for (const [name, technique] of [
	["stop-and-copy", stopAndCopy],
	["pre-copy", preCopy],
] as const)
	for (const tracker of ["page-walk", "scan"] as const)
		test(`${name}, ${tracker}: the oracle's bytes have one step at most, and no letter is lost`, async () => {
			const { guest, console } = await oracle({ tracker });
			const { result, target } = await moveV86(guest, bootSectorFactory(), technique, {
				console,
				options: SLOWLY,
			});
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
			keep(target!);
			await console.more(60);
			await target!.pause({ deadlineMs: 5000 });
			assert.is(letterFault(console.text), undefined);
			assert.is(oracleFault(memoryOf(target!)), undefined);
		});

for (const tracker of ["page-walk", "scan"] as const)
	test(`what is sent again goes as what has changed: ${tracker}`, async () => {
		const { guest, console } = await oracle({ tracker });
		// The first time a page is sent it is not held, the second time it is, the third time it goes as a delta.
		const enough = MEMORY_BYTES / 4096 + 3 * SWEPT.pageCount;
		const convergence: ConvergencePolicy = ({ totalSentPages }) => (totalSentPages < enough ? undefined : "iterations");
		const untilThen: typeof preCopy = (services) => preCopy(services, { convergence });
		const { result, target } = await moveV86(guest, bootSectorFactory(), untilThen, { console });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		keep(target!);
		assert.ok(result.metrics.pageKinds!.delta > 100, JSON.stringify(result.metrics.pageKinds));
		await console.more(60);
		await target!.pause({ deadlineMs: 5000 });
		assert.is(letterFault(console.text), undefined);
		assert.is(oracleFault(memoryOf(target!)), undefined);
	});

test("the oracle finds a page that was taken at another time", async () => {
	const { guest } = await oracle();
	await guest.pause({ deadlineMs: 5000 });
	const memory = memoryOf(guest);
	assert.is(oracleFault(memory), undefined);
	memory[(SWEPT.firstPage + 300) * 4096]! -= 2;
	assert.is.not(oracleFault(memory), undefined);
	assert.is.not(letterFault("ABCEF"), undefined);
	assert.is.not(letterFault("ABBC"), undefined);
});

test("a chain of moves goes back to where it began", async () => {
	const { guest, console } = await oracle();
	const factories = [bootSectorFactory(), bootSectorFactory(), bootSectorFactory()];
	let here = guest;
	for (const factory of factories) {
		const { result, target } = await moveV86(here, factory, preCopy, { console, options: SLOWLY });
		assert.is(result.outcome, "moved");
		here = keep(target!);
		await console.more(30);
	}
	await here.pause({ deadlineMs: 5000 });
	assert.is(letterFault(console.text), undefined);
	assert.is(oracleFault(memoryOf(here)), undefined);
});

test("after a move that failed the guest runs on, and the next one takes it", async () => {
	const { guest, console } = await oracle();
	const small = new V86GuestFactory({ v86, clock: systemClock, largestMemoryByteLength: 2 ** 20 });
	const failed = await moveV86(guest, small, preCopy);
	assert.is(failed.result.outcome, "kept");
	await console.more(30);
	const cancelled = await moveV86(guest, bootSectorFactory(), preCopy, {
		options: { signal: AbortSignal.abort(new Error("changed my mind")) },
	}).catch((error: unknown) => error);
	assert.ok(cancelled instanceof Error || (cancelled as { result: { outcome: string } }).result.outcome === "kept");
	await console.more(30);
	const { result, target } = await moveV86(guest, bootSectorFactory(), preCopy, { console });
	assert.is(result.outcome, "moved");
	keep(target!);
	await console.more(30);
	assert.is(letterFault(console.text), undefined);
});

test("a counted run that was moved twice is, at every bit of RAM, the run that was not", async () => {
	const counted = { time: "counted", compile: false } as const;
	const start = async (): Promise<V86Guest> => {
		const guest = keep(await openBootSector(counted));
		await guest.resume();
		guest.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
		await guest.pause({ deadlineMs: 5000 });
		assert.is(guest.steps, 64, "nothing happens between resuming and pausing in one turn");
		return guest;
	};
	let moved = await start();
	for (const technique of [preCopy, stopAndCopy]) {
		await moved.resume();
		const { result, target } = await moveV86(moved, bootSectorFactory(), technique);
		assert.is(result.outcome, "moved");
		moved = keep(target!);
		await systemClock.sleep(5);
		await moved.pause({ deadlineMs: 5000 });
	}
	const unmoved = await start();
	assert.ok(moved.steps > 64);
	await unmoved.advance(moved.steps - unmoved.steps);
	assert.is(unmoved.timeMs, moved.timeMs);
	assert.ok(word(moved, Variable.rounds) > 0);
	const hashes = async (guest: V86Guest): Promise<string> =>
		(await guest.pages.hashes(0, guest.pages.pageCount)).toString();
	assert.ok((await hashes(moved)) === (await hashes(unmoved)), "a page differs");
	const digest = async (guest: V86Guest): Promise<string> =>
		new Uint8Array(await crypto.subtle.digest("SHA-256", await guest.state.capture())).toString();
	assert.is(await digest(moved), await digest(unmoved));
});

test("a paused guest's clock stands still", async () => {
	const { guest } = await oracle();
	await guest.pause({ deadlineMs: 5000 });
	const [timeMs, ticks] = [guest.timeMs, word(guest, Variable.ticks)];
	await systemClock.sleep(50);
	assert.is(guest.timeMs, timeMs);
	await guest.resume();
	await guest.pause({ deadlineMs: 5000 });
	assert.ok(word(guest, Variable.ticks) - ticks <= 1, "no burst of timer interrupts makes up for the pause");
});

test("what a target cannot be is refused by name", async () => {
	const guest = keep(await openBootSector());
	const factory = bootSectorFactory();
	const layout = guest.state.layout();
	const facts = (obstacles: readonly { readonly fact: string }[]): string[] => obstacles.map(({ fact }) => fact);
	assert.equal(facts(factory.check(layout)), []);
	assert.equal(facts(factory.check({ ...layout, kind: "wasm" })), ["kind"]);
	assert.equal(facts(factory.check({ ...layout, pageCount: 2 ** 20 })), ["pageCount"]);
	for (const pageCount of [3, 257, 2064]) assert.equal(facts(factory.check({ ...layout, pageCount })), ["hardware"]);
	assert.equal(facts(factory.check({ ...layout, facts: { ...layout.facts, v86: "0.5.1" } })), ["v86"]);
	assert.equal(facts(factory.check({ ...layout, facts: { ...layout.facts, time: "backwards" } })), ["time"]);
	assert.equal(facts(factory.check({ ...layout, facts: { ...layout.facts, vgaMemory: "7" } })), ["hardware"]);
});

test("every size that starts is a size that moves: 128 KiB more than 8 MiB, and not a page more", async () => {
	const factory = bootSectorFactory();
	for (const memoryByteLength of [2 ** 20, MEMORY_BYTES + 2 ** 17]) {
		const guest = keep(await openBootSector({ memoryByteLength }));
		const { result, target } = await moveV86(guest, factory, stopAndCopy);
		assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
		assert.is(keep(target!).pages.pageCount * 4096, memoryByteLength);
	}
	const start = V86Guest.start({
		v86,
		clock: systemClock,
		firmware: bootSectorFirmware(),
		memoryByteLength: MEMORY_BYTES + 4096,
	});
	const error = await start.then(keep, (reason: unknown) => reason);
	assert.match(String(error), /RangeError: memoryByteLength: 8392704 is no multiple of 131072/);
});

test("post-copy is refused with the reason, and the guest runs on", async () => {
	const { guest, console } = await oracle();
	const { result } = await moveV86(guest, bootSectorFactory(), postCopy);
	assert.is(result.outcome, "kept");
	assert.match(result.outcome === "kept" ? result.error.message : "", "on its host's own thread");
	await console.more(30);
	assert.is(letterFault(console.text), undefined);
});

test("another version of v86 is refused, and says what to install", async () => {
	for (const build of [
		{ ...v86, version: "0.5.461" },
		{ ...v86, version: "undefined" },
	]) {
		const error = await V86Guest.start({
			v86: build,
			clock: systemClock,
			firmware: { bios: new Uint8Array(65_536) },
		}).catch((reason: unknown) => reason);
		assert.instance(error, GuestError);
		assert.is((error as GuestError).code, "incompatible");
		assert.match((error as GuestError).message, "npm install --save-exact v86@0.5.462");
	}
});

test("a module without the page walk that is known is scanned, and says so", async () => {
	// The name section is the last but a few: without it the function cannot be found.
	const guest = keep(
		await openBootSector({ v86: { ...v86, wasm: withoutNames(v86.wasm) } } as Partial<StartV86GuestOptions>),
	);
	assert.is(guest.dirty.tracker, "scan");
	assert.is(keep(await openBootSector()).dirty.tracker, "page-walk");
});

test("bytes that are no state are refused", async () => {
	const guest = keep(await openBootSector());
	const state = await guest.state.capture();
	const target = keep((await bootSectorFactory().setUp(guest.state.layout())).guest);
	const wrong: Uint8Array[] = [new Uint8Array(0), state.slice(0, 10), state.slice(0, -1), new Uint8Array(5000)];
	for (const at of [0, 4, 8, 12, 40, 200, state.length - 5]) {
		const flipped = state.slice();
		flipped[at]! ^= 16;
		wrong.push(flipped);
	}
	for (const bytes of wrong) {
		const error = await target.state.restore(bytes).catch((reason: unknown) => reason);
		assert.instance(error, GuestError, `${bytes.length} bytes`);
		assert.is((error as GuestError).code, "state");
	}
	await target.state.restore(state);
});

/** The module with its name section renamed. */
function withoutNames(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
	const text = new TextDecoder("latin1").decode(module);
	const at = text.lastIndexOf("\u0004name");
	const changed = module.slice();
	changed[at + 1] = "g".charCodeAt(0);
	return changed;
}

test.run();
