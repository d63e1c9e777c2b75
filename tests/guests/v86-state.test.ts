import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { DeviceState } from "../../bindings/guests/v86/device-state.ts";
import { Place } from "../../bindings/guests/v86/emulator.ts";
import { V86Machine } from "../../bindings/guests/v86/machine.ts";
import { setTimeStampOffset, timeStampOffset } from "../../bindings/guests/v86/time-stamp.ts";
import { MEMORY_BYTES, v86 } from "../v86/open-guests.ts";

const test = suite("v86 guest: what v86 forgets of its state");

const nothing = { onSerial: () => undefined, onFrame: () => undefined, onWake: () => undefined };

async function build(): Promise<{ readonly machine: V86Machine; readonly state: DeviceState }> {
	const hardware = {
		memoryByteLength: MEMORY_BYTES,
		vgaMemoryByteLength: 2 ** 18,
		time: "real",
		compile: true,
	} as const;
	const machine = await V86Machine.build(v86, hardware, { hostNow: () => 0, output: nothing });
	return { machine, state: new DeviceState(machine, createEngine()) };
}

const words = ({ exports }: V86Machine): DataView => new DataView(exports.memory.buffer);

/** What v86 itself reads the lazy flags' result through. */
const resultOf = ({ cpu }: V86Machine): number | undefined =>
	(cpu as unknown as { readonly last_result: Int32Array }).last_result[0];

test("lazy flags, FPU status and SSE control arrive, and v86 goes on seeing them", async () => {
	const [source, target] = [await build(), await build()];
	words(source.machine).setInt32(Place.lastResult, 0x1234567, true);
	words(source.machine).setUint16(Place.fpuStatus, 0x3800, true);
	words(source.machine).setInt32(Place.mxcsr, 0x1fa0, true);
	target.state.restore(source.state.capture());
	assert.is(words(target.machine).getInt32(Place.lastResult, true), 0x1234567);
	assert.is(words(target.machine).getUint16(Place.fpuStatus, true), 0x3800);
	assert.is(words(target.machine).getInt32(Place.mxcsr, true), 0x1fa0);
	words(target.machine).setInt32(Place.lastResult, 7, true);
	assert.is(resultOf(target.machine), 7, "the view was not replaced by a copy");
});

test("the time-stamp counter arrives exactly, from one machine to the next", async () => {
	const chain = [await build(), await build(), await build()];
	const offset = 12_345_678_901_234n;
	setTimeStampOffset(chain[0]!.machine, offset);
	assert.is(timeStampOffset(chain[0]!.machine), offset);
	for (let at = 1; at < chain.length; at++) {
		chain[at]!.state.restore(chain[at - 1]!.state.capture());
		assert.is(timeStampOffset(chain[at]!.machine), offset);
		chain[at]!.machine.time.set(1000 * at);
	}
});

test("what was typed and not read yet arrives", async () => {
	const [source, target] = [await build(), await build()];
	source.machine.sendSerial([72, 105]);
	target.state.restore(source.state.capture());
	assert.equal(target.machine.cpu.devices.uart0.input, [72, 105]);
});

test("a restored machine's state is the one it was given", async () => {
	const [source, target] = [await build(), await build()];
	words(source.machine).setInt32(Place.lastResult, 99, true);
	source.machine.steps = 41;
	const state = source.state.capture();
	target.state.restore(state);
	assert.ok(target.state.capture().toString() === state.toString());
	target.state.restore(state);
	assert.ok(target.state.capture().toString() === state.toString(), "and again");
	assert.is(target.machine.steps, 41);
});

test.run();
