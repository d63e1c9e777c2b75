import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { GuestMemoryKernels } from "../../bindings/engine/inplace.ts";
import { DeviceState } from "../../bindings/guests/v86/device-state.ts";
import { Place } from "../../bindings/guests/v86/emulator.ts";
import type { V86Hardware } from "../../bindings/guests/v86/hardware.ts";
import { V86Machine } from "../../bindings/guests/v86/machine.ts";
import { readValues } from "../../bindings/guests/v86/state-values.ts";
import { setTimeStampOffset, timeStampOffset } from "../../bindings/guests/v86/time-stamp.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import { platform } from "../v86/linux.ts";
import { MEMORY_BYTES, openBootSector, v86 } from "../v86/open-guests.ts";

const test = suite("v86 guest: what v86 forgets of its state");

const nothing = { onSerial: () => undefined, onFrame: () => undefined, onWake: () => undefined };

async function build(
	wanted: Partial<V86Hardware> = {},
): Promise<{ readonly machine: V86Machine; readonly state: DeviceState }> {
	const hardware = {
		memoryByteLength: MEMORY_BYTES,
		vgaMemoryByteLength: 2 ** 18,
		time: "real",
		compile: true,
		...wanted,
	} as const;
	const machine = await V86Machine.build(v86, hardware, { hostNow: () => 0, output: nothing });
	const engine = createEngine();
	const kernels = new GuestMemoryKernels(engine, machine.exports.memory);
	return { machine, state: new DeviceState(machine, engine, kernels) };
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

test("what is written between two captures is in the second: graphics memory by window and by frame buffer, disk, card", async () => {
	const [source, target] = [await build(), await build()];
	source.state.capture();
	const { cpu } = source.machine;
	const devices = cpu.devices as unknown as {
		readonly vga: { readonly svga_memory: Uint8Array; readonly vga_memory: Uint8Array };
		readonly ide: { readonly secondary: { readonly master: { readonly data: Uint8Array } } };
		readonly net: { readonly memory: Uint8Array };
	};
	cpu.write8(0xb8000, 0x41); // text: planes 0 and 1
	cpu.write32(0xe0000000 + 4096 * 5, 0x1234567); // linear frame buffer
	devices.net.memory[1000] = 77;
	const written = devices.vga.vga_memory.indexOf(0x41);
	assert.ok(written >= 0);
	const svgaAt = Array.from(devices.vga.svga_memory.slice(0, 32_768)).findIndex((byte) => byte !== 0);
	const second = source.state.capture();
	target.state.restore(second);
	const arrived = target.machine.cpu.devices as unknown as typeof devices;
	assert.is(arrived.vga.vga_memory[written], 0x41);
	assert.is(arrived.net.memory[1000], 77);
	assert.ok(svgaAt > 0 && arrived.vga.svga_memory[svgaAt] === 0x67);
	// And back again: a cleared array is not what it was.
	cpu.write8(0xb8000, 0);
	devices.net.memory[1000] = 0;
	target.state.restore(source.state.capture());
	assert.is(arrived.vga.vga_memory[written], 0);
	assert.is(arrived.net.memory[1000], 0);
	// The first of another machine has the same bytes as one of many: what was kept is no part of it.
	assert.ok(target.state.capture().toString() === source.state.capture().toString());
});

test("a restore between two captures is seen by the second", async () => {
	const [source, other] = [await build(), await build()];
	source.machine.cpu.write8(0xb8000, 0x42);
	const with42 = source.state.capture();
	const without = other.state.capture();
	source.state.restore(without);
	assert.ok(source.state.capture().toString() === without.toString());
	source.state.restore(with42);
	assert.ok(source.state.capture().toString() === with42.toString());
});

test("a state of version 1 is still read, and captured again as the newest", async () => {
	const bytes = await platform.files.read("tests/fixtures/v86-state-1.bin");
	assert.is(new DataView(bytes!.buffer, bytes!.byteOffset).getUint32(4, true), 1);
	const hardware = { time: "counted", compile: false } as const;
	const target = await build(hardware);
	target.state.restore(bytes!);
	assert.is(target.machine.steps, 64);
	assert.is(Math.floor(target.machine.time.valueMs), 640);
	const again = target.state.capture();
	assert.is(new DataView(again.buffer).getUint32(4, true), 2);
	const third = await build(hardware);
	third.state.restore(again);
	assert.ok(third.state.capture().toString() === again.toString());
	// The very machine that the fixture is of: our boot sector after 64 steps.
	const guest = await openBootSector(hardware);
	assert.ok((await guest.state.capture()).toString() === again.toString());
	await guest.discard();
});

test("states that were damaged on purpose are refused, with every check but the hashes passed", () => {
	const numbers = (tags: number[], values: number[], rest = 64): Uint8Array<ArrayBuffer> => {
		const valuesAt = 8 + Math.ceil(tags.length / 8) * 8;
		const block = new Uint8Array(valuesAt + values.length * 8 + rest);
		new Uint32Array(block.buffer, 0, 2).set([tags.length, values.length]);
		block.set(tags, 8);
		new Float64Array(block.buffer, valuesAt, values.length).set(values);
		return block;
	};
	assert.equal(readValues([numbers([4, 3, 5, 0, 1, 2], [2, 7, 2, 72, 105])]), [[7, "Hi"], null, true, false]);
	assert.equal(readValues([numbers([16, 16], [0, 8, 4, 1, 1, 2]), Uint8Array.of(1, 2, 3, 4)]), [
		new Uint8Array(4),
		Uint8Array.of(2, 3),
	]);
	const wrong: [number[], number[]][] = [
		[[3], []],
		[[4], [5]],
		[[4], [-1]],
		[[4], [Number.NaN]],
		[[5], [3, 65]],
		[[7], [0, 0, 0]],
		[[24], [0, 0, 0]],
		[[16], [1, 0, 1]],
		[[16], [0, 60, 5]],
		[[16], [0, -1, 1]],
		[[16], [0, Number.NaN, 1]],
		[[16], [0.5, 0, 1]],
	];
	for (const [tags, values] of wrong) {
		let error: unknown;
		try {
			readValues([numbers(tags, values)]);
		} catch (thrown) {
			error = thrown;
		}
		assert.instance(error, GuestError, `${tags}: ${values}`);
	}
	for (const [tags, values] of [
		[0xffff_ffff, 0],
		[0, 0xffff_ffff],
		[100, 100],
	]) {
		const block = new Uint8Array(64);
		new Uint32Array(block.buffer, 0, 2).set([tags!, values!]);
		assert.throws(() => readValues([block]));
	}
	assert.throws(() => readValues([]));
});

test.run();
