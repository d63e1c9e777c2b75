// Everything of a v86 machine but its RAM. Its bytes: state-values.ts, state-blocks.ts.
//
//   values := processor with its devices │ lazy flags │ FPU status │ SSE control │ time-stamp offset, low │ high │ input queue │
//             guest's clock in ms │ steps │ random numbers' state │ with a balloon: a bit for each page in it
//
// v86 restores less than it saves (0.5.462), so beside its state there are:
//   lazy flags, FPU status and SSE control    `set_state` replaces their views by values; left out, and the words written
//   time-stamp counter                        `set_tsc` forgets its old offset, and readings are guesses: time-stamp.ts
//   input queue of the serial port            not in v86's state
//   PCI devices without a base address        `set_state` expects one where the firmware has left the bit of a port set
//   pages in the balloon                      v86 has their number: balloon-device.ts
//   guest's clock, steps, random numbers      timers hold absolute times of that clock
import type { Engine } from "../../engine/engine.ts";
import type { GuestMemoryKernels } from "../../engine/inplace.ts";
import { GuestError } from "../../ports/guest.ts";
import { Place } from "./emulator.ts";
import type { V86Machine } from "./machine.ts";
import { StateReader, StateWriter } from "./state-blocks.ts";
import { readValues, ValueWriter } from "./state-values.ts";
import { readVersion1 } from "./state-version-1.ts";
import { setTimeStampOffset, timeStampOffset } from "./time-stamp.ts";

/** See the head of this file. */
export class DeviceState {
	readonly #machine: V86Machine;
	readonly #writer: StateWriter;
	readonly #reader: StateReader;
	readonly #graphics: GraphicsWrites;
	readonly #values = new ValueWriter();

	/** @param kernels - over the machine's memory, delivering to the engine */
	constructor(machine: V86Machine, engine: Engine, kernels: GuestMemoryKernels) {
		this.#machine = machine;
		this.#writer = new StateWriter(engine, kernels);
		this.#reader = new StateReader(engine);
		this.#graphics = new GraphicsWrites(machine.cpu);
	}

	/** Of a machine between two steps. @throws {GuestError} `state` for a machine with more of it than fits */
	capture(): Uint8Array<ArrayBuffer> {
		return this.copy()();
	}

	/** As {@link capture}, but only copied: @returns what encodes it, also when the machine has run on. */
	copy(): () => Uint8Array<ArrayBuffer> {
		this.#values.begin(this.#graphics.none ? this.#machine.cpu.devices.vga.vga_memory : undefined);
		this.#putAll();
		const encode = this.#writer.copy(this.#values.end());
		this.#graphics.none = true;
		return encode;
	}

	#putAll(): void {
		const { cpu, exports, time, steps, randomState, balloon } = this.#machine;
		const values = this.#values;
		this.#machine.within(() => {
			cpu.pack_memory = noMemory;
			try {
				const processor = [...cpu.get_state()];
				processor[LAST_INSTRUCTION_PAGE] = -1;
				const graphics = [...cpu.devices.vga.get_state()];
				graphics[PIXELS] = null;
				processor[GRAPHICS] = graphics;
				values.put(processor);
			} finally {
				delete cpu.pack_memory;
			}
			const words = new DataView(exports.memory.buffer);
			values.put(words.getInt32(Place.lastResult, true));
			values.put(words.getUint16(Place.fpuStatus, true));
			values.put(words.getInt32(Place.mxcsr, true));
			const offset = timeStampOffset(this.#machine);
			values.put(Number(offset & 0xffff_ffffn));
			values.put(Number(offset >> 32n));
			values.put(cpu.devices.uart0.input);
			for (const value of [time.valueMs, steps, randomState]) values.put(value);
			if (balloon !== undefined) values.put(balloon.state);
		});
	}

	/**
	 * Into a machine that stands still and whose RAM is written: this clears its translation buffer and compiled code.
	 * @throws {GuestError} `state`; the machine is then of no use any more
	 */
	restore(state: Uint8Array): void {
		try {
			const { version, blocks } = this.#reader.read(state);
			this.#restore(version === 1 ? readVersion1(blocks[0]!) : readValues(blocks));
		} catch (cause) {
			if (cause instanceof GuestError) throw cause;
			throw new GuestError("state", `this is no state that the machine can take: ${String(cause)}`, cause);
		}
	}

	#restore(values: readonly unknown[]): void {
		const [devices, ...rest] = values;
		const input = rest[5];
		const at = (index: number): number => number(rest[index]);
		if (!Array.isArray(devices) || !Array.isArray(input)) throw new GuestError("state", "device state: no processor");
		for (const index of VIEWS_REPLACED) devices[index] = undefined;
		if (devices[0] !== this.#machine.hardware.memoryByteLength)
			throw new GuestError("state", `device state of a machine with ${devices[0]} bytes of RAM`);
		const { cpu, exports, time } = this.#machine;
		this.#graphics.none = false;
		time.stop();
		time.set(at(6));
		this.#machine.steps = at(7);
		this.#machine.randomState = at(8) | 0 || 1;
		this.#machine.within(() => {
			const { vga } = cpu.devices;
			cpu.unpack_memory = nothing;
			// Draws each character on a screen that no machine here has, and tells listeners that there are none of.
			vga.text_mode_redraw = nothing;
			const emptied = fillMissingBars(cpu);
			try {
				cpu.set_state(devices);
			} finally {
				delete cpu.unpack_memory;
				delete vga.text_mode_redraw;
				emptied();
			}
			const words = new DataView(exports.memory.buffer);
			words.setInt32(Place.lastResult, at(0), true);
			words.setUint16(Place.fpuStatus, at(1), true);
			words.setInt32(Place.mxcsr, at(2), true);
			setTimeStampOffset(this.#machine, (BigInt(at(4)) << 32n) | BigInt(at(3)));
			this.#machine.balloon?.restore(rest[9]);
			cpu.devices.uart0.input = input.map((byte) => number(byte) & 0xff);
		});
	}
}

/** A cache that each restore empties: left empty, so that a restored machine's state is the one it was given. */
const LAST_INSTRUCTION_PAGE = 18;

/** Of the processor's state: the graphics card. */
const GRAPHICS = 52;
/** Of the graphics card's state: 512 KiB of pixels, made from its memory when a screen asks for them; here none does. */
const PIXELS = 61;

/** Entries of the processor's state whose views `set_state` would replace by the values that it is given. */
const VIEWS_REPLACED = [86, 87, 88] as const;

/** Whether the guest has written the graphics card's memory: its legacy window is the only way to it. */
class GraphicsWrites {
	/** Nothing since this was set. */
	none = false;

	constructor({ memory_map_write8: writers8, memory_map_write32: writers32 }: V86Machine["cpu"]) {
		for (const writers of [writers8, writers32]) {
			const write = writers[GRAPHICS_WINDOW];
			writers[GRAPHICS_WINDOW] = (address, value) => {
				this.none = false;
				write?.(address, value);
			};
		}
	}
}

/** 0xA0000 to 0xBFFFF, in windows of 128 KiB. */
const GRAPHICS_WINDOW = 0xa0000 >>> 17;

const nothing = (): undefined => undefined;

const noMemory = (): unknown => ({
	packed_memory: new Uint8Array(0),
	bitmap: { get_buffer: () => new ArrayBuffer(0) },
});

/** A base address that no port answers to. */
const NO_PORTS = { size: 0, original_bar: 0, entries: [] } as const;

/** Gives PCI devices an empty base address where they have none. @returns takes them away again */
function fillMissingBars(cpu: V86Machine["cpu"]): () => void {
	const filled: { readonly bars: unknown[]; readonly at: number }[] = [];
	for (const device of cpu.devices.pci.devices) {
		if (device === undefined) continue;
		const { pci_bars: bars } = device;
		for (let at = 0; at < bars.length; at++) {
			if (bars[at] !== undefined) continue;
			bars[at] = NO_PORTS;
			filled.push({ bars, at });
		}
	}
	return () => {
		for (const { bars, at } of filled) bars[at] = undefined;
	};
}

function number(value: unknown): number {
	if (typeof value !== "number" || !Number.isFinite(value))
		throw new GuestError("state", "device state: something is no number");
	return value;
}
