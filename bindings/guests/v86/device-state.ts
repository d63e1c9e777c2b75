// Everything of a v86 machine but its RAM, as one batch of pages: zeros cost nothing, the rest is LZ4 and hashed, and the
// decoder that guards memory guards this as well.
//
//   ┌ pages, one after another: ────────────────────────────────────────────────────────────────────────────┐
//   │ u32 byte length of the description │ description: JSON │ padding to 8 │ arrays, each padded to 8      │
//   └───────────────────────────────────────────────────────────────────────────────────────────────────────┘
//   state := "v86s" │ u32 version │ u32 pages │ u32 batch's byte length │ batch
//
// v86 restores less than it saves (0.5.462), so beside its state the description carries:
//   lazy flags, FPU status and SSE control    `set_state` replaces their views by values; left out, and the words written
//   time-stamp counter                        `set_tsc` forgets its old offset, and readings are guesses: time-stamp.ts
//   input queue of the serial port            not in v86's state
//   PCI devices without a base address        `set_state` expects one where the firmware has left the bit of a port set
//   guest's clock, steps, random numbers      timers hold absolute times of that clock
import { BatchDecoder, BatchEncoder, batchLimitBytes } from "../../engine/batch.ts";
import type { Engine } from "../../engine/engine.ts";
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { Place, type V86Device, type V86Numbers, type V86State } from "./emulator.ts";
import type { V86Machine } from "./machine.ts";
import { setTimeStampOffset, timeStampOffset } from "./time-stamp.ts";

const MAGIC = 0x73363876; // "v86s", little-endian
const VERSION = 1;
const HEADER_BYTES = 16;
/** A batch's limit: 4 MiB, of which the largest machine that is built here takes 3.1. */
const MOST_PAGES = 1024;

/** Arrays that device state is made of, by name. */
const ARRAYS = {
	Uint8Array,
	Int8Array,
	Uint16Array,
	Int16Array,
	Uint32Array,
	Int32Array,
	Float32Array,
	Float64Array,
} as const;
type ArrayName = keyof typeof ARRAYS;

/** An array in the description: its name, where its bytes are, how many. */
interface StoredArray {
	readonly array: ArrayName;
	readonly at: number;
	readonly byteLength: number;
}

type Stored = number | string | boolean | null | StoredArray | readonly Stored[];

interface Description {
	readonly devices: Stored;
	readonly lastResult: number;
	readonly fpuStatus: number;
	readonly mxcsr: number;
	/** Decimal, 64 bits: see time-stamp.ts. */
	readonly timeStampOffset: string;
	readonly serialInput: readonly number[];
	readonly timeMs: number;
	readonly steps: number;
	readonly randomState: number;
}

/** See the head of this file. */
export class DeviceState {
	readonly #machine: V86Machine;
	readonly #engine: Engine;
	#encoder: BatchEncoder | undefined;
	#decoder: BatchDecoder | undefined;

	constructor(machine: V86Machine, engine: Engine) {
		this.#machine = machine;
		this.#engine = engine;
	}

	/** Of a machine between two steps. @throws {GuestError} `state` for a machine with more than 4 MiB of it */
	capture(): Uint8Array<ArrayBuffer> {
		const parts: ArrayParts = { arrays: [], byteLength: 0 };
		const description = new TextEncoder().encode(JSON.stringify(this.#describe(parts)));
		const start = paddedTo8(4 + description.byteLength);
		const pages = Math.ceil((start + parts.byteLength) / PAGE_BYTES);
		if (pages > MOST_PAGES) throw new GuestError("state", `device state of ${pages} pages; at most ${MOST_PAGES}`);
		this.#encoder ??= new BatchEncoder(this.#engine);
		const staging = this.#encoder.staging(pages);
		staging.fill(0, start + parts.byteLength);
		new DataView(staging.buffer, staging.byteOffset).setUint32(0, description.byteLength, true);
		staging.set(description, 4);
		for (const { at, bytes } of parts.arrays) staging.set(bytes, start + at);
		const pageIndices = Uint32Array.from({ length: pages }, (_, page) => page);
		const batch = this.#encoder.encode({ pageIndices, source: { kind: "staged" }, compress: true, into: "view" });
		const state = new Uint8Array(HEADER_BYTES + batch.byteLength);
		new Uint32Array(state.buffer, 0, 4).set([MAGIC, VERSION, pages, batch.byteLength]);
		state.set(batch.bytes, HEADER_BYTES);
		return state;
	}

	#describe(parts: ArrayParts): Description {
		const { cpu, exports, time, steps, randomState } = this.#machine;
		return this.#machine.within(() => {
			cpu.pack_memory = noMemory;
			try {
				const processor = [...cpu.get_state()];
				processor[LAST_INSTRUCTION_PAGE] = -1;
				const devices = stored(processor, parts);
				const words = new DataView(exports.memory.buffer);
				return {
					devices,
					lastResult: words.getInt32(Place.lastResult, true),
					fpuStatus: words.getUint16(Place.fpuStatus, true),
					mxcsr: words.getInt32(Place.mxcsr, true),
					timeStampOffset: timeStampOffset(this.#machine).toString(),
					serialInput: cpu.devices.uart0.input.slice(),
					timeMs: time.valueMs,
					steps,
					randomState,
				};
			} finally {
				delete cpu.pack_memory;
			}
		});
	}

	/**
	 * Into a machine that stands still and whose RAM is written: this clears its translation buffer and compiled code.
	 * @throws {GuestError} `state`; the machine is then of no use any more
	 */
	restore(state: Uint8Array): void {
		try {
			this.#restore(this.#unpack(state));
		} catch (cause) {
			if (cause instanceof GuestError) throw cause;
			throw new GuestError("state", `this is no state that the machine can take: ${String(cause)}`, cause);
		}
	}

	#unpack(state: Uint8Array): Uint8Array<ArrayBuffer> {
		if (state.byteLength < HEADER_BYTES) throw new GuestError("state", "device state ends too early");
		const header = new DataView(state.buffer, state.byteOffset, HEADER_BYTES);
		const [magic, version] = [header.getUint32(0, true), header.getUint32(4, true)];
		const [pages, byteLength] = [header.getUint32(8, true), header.getUint32(12, true)];
		if (magic !== MAGIC) throw new GuestError("state", "these bytes are no device state of a v86 machine");
		if (version !== VERSION) throw new GuestError("state", `device state of version ${version}, this is ${VERSION}`);
		if (pages > MOST_PAGES || byteLength !== state.byteLength - HEADER_BYTES || byteLength > batchLimitBytes(pages))
			throw new GuestError("state", `device state of ${pages} pages in ${state.byteLength} bytes`);
		this.#decoder ??= new BatchDecoder(this.#engine);
		const unpacked = new Uint8Array(pages * PAGE_BYTES);
		this.#decoder.decode(state.subarray(HEADER_BYTES), { pageCount: pages }).install(unpacked);
		return unpacked;
	}

	#restore(pages: Uint8Array<ArrayBuffer>): void {
		const view = new DataView(pages.buffer);
		const descriptionLength = view.getUint32(0, true);
		if (4 + descriptionLength > pages.byteLength) throw new GuestError("state", "device state ends too early");
		const text = new TextDecoder().decode(pages.subarray(4, 4 + descriptionLength));
		const description: Description = JSON.parse(text); // each field is checked where it is used
		const arrays = pages.subarray(paddedTo8(4 + descriptionLength));
		const devices = revived(description.devices, arrays);
		if (!Array.isArray(devices)) throw new GuestError("state", "device state: no processor");
		for (const index of VIEWS_REPLACED) devices[index] = undefined;
		if (devices[0] !== this.#machine.hardware.memoryByteLength)
			throw new GuestError("state", `device state of a machine with ${devices[0]} bytes of RAM`);
		const { cpu, exports, time } = this.#machine;
		time.stop();
		time.set(number(description.timeMs, "timeMs"));
		this.#machine.steps = number(description.steps, "steps");
		this.#machine.randomState = number(description.randomState, "randomState") | 0 || 1;
		this.#machine.within(() => {
			cpu.unpack_memory = () => undefined;
			const emptied = fillMissingBars(cpu);
			try {
				cpu.set_state(devices);
			} finally {
				delete cpu.unpack_memory;
				emptied();
			}
			const words = new DataView(exports.memory.buffer);
			words.setInt32(Place.lastResult, number(description.lastResult, "lastResult"), true);
			words.setUint16(Place.fpuStatus, number(description.fpuStatus, "fpuStatus"), true);
			words.setInt32(Place.mxcsr, number(description.mxcsr, "mxcsr"), true);
			setTimeStampOffset(this.#machine, BigInt(description.timeStampOffset));
			cpu.devices.uart0.input = description.serialInput.map((byte) => number(byte, "serialInput") & 0xff);
		});
	}
}

/** A cache that each restore empties: left empty, so that a restored machine's state is the one it was given. */
const LAST_INSTRUCTION_PAGE = 18;

/** Entries of the processor's state whose views `set_state` would replace by the values that it is given. */
const VIEWS_REPLACED = [86, 87, 88] as const;

interface ArrayParts {
	readonly arrays: { readonly at: number; readonly bytes: Uint8Array }[];
	byteLength: number;
}

const noMemory = (): unknown => ({
	packed_memory: new Uint8Array(0),
	bitmap: { get_buffer: () => new ArrayBuffer(0) },
});

const paddedTo8 = (byteLength: number): number => Math.ceil(byteLength / 8) * 8;

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

function number(value: unknown, name: string): number {
	if (typeof value !== "number" || !Number.isFinite(value))
		throw new GuestError("state", `device state: ${name} is no number`);
	return value;
}

/** Whether this is an array of numbers, or one of v86's proxies of one: they follow its memory when it grows. */
function isNumbers(state: object): state is V86Numbers {
	const { BYTES_PER_ELEMENT: elementBytes }: Partial<V86Numbers> = state;
	return elementBytes !== undefined;
}

const isArrayName = (name: string): name is ArrayName => Object.hasOwn(ARRAYS, name);
const isDevice = (state: object): state is V86Device => "get_state" in state;
const isList = (state: Stored): state is readonly Stored[] => Array.isArray(state);

/** State as numbers, with its arrays put aside. @throws {GuestError} `state` for what is neither */
function stored(state: V86State, parts: ArrayParts): Stored {
	if (state === undefined || state === null) return null;
	if (typeof state !== "object") return state;
	if (Array.isArray(state)) return state.map((each: V86State) => stored(each, parts));
	if (isNumbers(state)) {
		const array = state.constructor.name.replace("bound ", "");
		if (!isArrayName(array)) throw new GuestError("state", `v86 has put a ${array} into its state`);
		const bytes = new Uint8Array(state.buffer, state.byteOffset, state.length * state.BYTES_PER_ELEMENT);
		const at = parts.byteLength;
		parts.arrays.push({ at, bytes });
		parts.byteLength += paddedTo8(bytes.byteLength);
		return { array, at, byteLength: bytes.byteLength };
	}
	if (isDevice(state)) return stored(state.get_state(), parts);
	throw new GuestError("state", "v86 has put something unknown into its state");
}

/** What {@link stored} has made, with fresh arrays: devices keep those that they are given. */
function revived(state: Stored, bytes: Uint8Array<ArrayBuffer>): unknown {
	if (state === null || typeof state !== "object") return state;
	if (isList(state)) return state.map((each) => revived(each, bytes));
	const { array, at, byteLength } = state;
	if (!isArrayName(array) || !(at >= 0) || !(byteLength >= 0) || at + byteLength > bytes.byteLength)
		throw new GuestError("state", "device state: an array lies outside");
	return new ARRAYS[array](bytes.slice(at, at + byteLength).buffer);
}
