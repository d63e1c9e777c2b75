// What is typed at a guest that stands still: it is in the state that is taken of it, and nothing of it is lost without a word.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Emulator } from "../../bindings/guests/v86/emulator.ts";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { systemRandom as random } from "../../bindings/platform/system-random.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { moveV86 } from "../v86/move.ts";
import { openBootSector, runBootSector, watchedV86 } from "../v86/open-guests.ts";
import { runInWorker } from "../v86/worker-guests.ts";

const test = suite("v86 guest: typing");
type AnyGuest = V86Guest | V86WorkerGuest;
const open = new Set<AnyGuest>();
const keep = <Kept extends AnyGuest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const KINDS: Readonly<Record<string, () => Promise<AnyGuest>>> = {
	"on its host's thread": () => runBootSector("oracle"),
	"in a worker": () => runInWorker("oracle"),
};

/** A factory whose targets can be looked into: what waits in the serial port to be read by their guest. */
function watchedFactory(): { readonly factory: V86GuestFactory; readonly waiting: () => string } {
	const { v86, last } = watchedV86();
	return { factory: new V86GuestFactory({ v86, clock }), waiting: () => waitingIn(last()) };
}

/** The boot sector reads nothing: what has arrived is there. */
function waitingIn(emulator: V86Emulator): string {
	return String.fromCharCode(...emulator.v86.cpu.devices.uart0.input);
}

for (const [where, start] of Object.entries(KINDS)) {
	test(`what is typed while it is paused is in its state, ${where}; what comes after the capture is told`, async () => {
		const guest = keep(await start());
		guest.serial.write("running ");
		await guest.pause({ deadlineMs: 5000 });
		guest.serial.write("paused ");
		assert.is(guest.serial.typedAfterCapture, "");
		const state = await guest.state.capture();
		guest.serial.write("late");
		assert.is(guest.serial.typedAfterCapture, "late");
		const { factory, waiting } = watchedFactory();
		const target = keep((await factory.setUp(guest.state.layout())).guest);
		await target.state.restore(state);
		assert.is(waiting(), "running paused ");
		assert.is((await guest.state.capture()).toString() === state.toString(), false);
		assert.is(guest.serial.typedAfterCapture, "", "the second state has it");
		guest.serial.write(" later");
		await guest.discard();
		assert.is(guest.serial.typedAfterCapture, " later");
		target.serial.write(guest.serial.typedAfterCapture);
		assert.is(waiting(), "running paused  later");
	});

	test(`what no capture has missed is not told, ${where}: of a running guest, and after steps by hand`, async () => {
		const guest = keep(await start());
		const refused = await guest.state.capture().catch((error: unknown) => error);
		assert.ok(refused instanceof GuestError && refused.code === "not-paused");
		guest.serial.write("running ");
		assert.is(guest.serial.typedAfterCapture, "");
		await guest.pause({ deadlineMs: 60_000 });
		await guest.state.capture();
		guest.serial.write("late");
		assert.is(guest.serial.typedAfterCapture, "late");
		await guest.advance(1);
		assert.is(guest.serial.typedAfterCapture, "", "it has got it here");
	});

	test(`a discarded guest is not typed at, ${where}: an error says so`, async () => {
		const guest = keep(await start());
		await guest.discard();
		assert.throws(
			() => guest.serial.write("anybody?"),
			(error: unknown) => error instanceof GuestError && error.code === "gone",
		);
	});
}

for (const [name, technique] of [
	["stop-and-copy", stopAndCopy],
	["pre-copy", preCopy],
] as const)
	for (const [where, start] of Object.entries(KINDS))
		test(`what is typed in the pause of ${name} is waiting at the target: ${where}`, async () => {
			const guest = keep(await start());
			guest.serial.write("running ");
			const pause = guest.pause.bind(guest);
			guest.pause = async (options) => {
				await pause(options);
				guest.serial.write("paused");
			};
			const { factory, waiting } = watchedFactory();
			const { result, target } = await moveV86(guest as V86Guest, factory, technique);
			assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
			keep(target!);
			assert.is(waiting(), "running paused");
		});

for (const [name, technique] of Object.entries({ save, liveSave }))
	test(`what is typed in the pause of ${name} is in the snapshot, and the guest itself reads it once`, async () => {
		const { v86, last } = watchedV86();
		const guest = keep(await runBootSector("oracle", { v86 }));
		const source = last();
		const pause = guest.pause.bind(guest);
		guest.pause = async (options) => {
			await pause(options);
			guest.serial.write("paused");
		};
		const store = new SnapshotStore(new MemoryStore(), { clock, random });
		const { snapshot } = await technique({ guest, store, clock });
		assert.is(waitingIn(source), "paused");
		assert.is(guest.serial.typedAfterCapture, "", "it runs: it has read everything");
		const { factory, waiting } = watchedFactory();
		const services = { snapshot: await store.open(snapshot.id), factories: [factory], clock, random };
		const restored = await restore(services, { clock: "continue", random: "keep", stayPaused: true });
		keep(restored.guest as V86Guest);
		assert.is(waiting(), "paused");
	});

test("what is typed at a target before its state has come waits behind what the state has", async () => {
	const guest = keep(await openBootSector());
	guest.serial.write("first ");
	const { factory, waiting } = watchedFactory();
	const target = keep((await factory.setUp(guest.state.layout())).guest);
	target.serial.write("second");
	assert.is(waiting(), "");
	await target.state.restore(await guest.state.capture());
	assert.is(waiting(), "first second");
	await target.resume();
	assert.is(waiting(), "first second", "none twice");
});

test.run();
