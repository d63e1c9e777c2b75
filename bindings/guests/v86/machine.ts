// One v86 machine, stepped by us: `run()` of v86 is never called, so between two steps nothing of the machine changes, and
// each return of its main loop is a point where it can be paused.
//
// Built without disks: everything of it is RAM and device state. Two machines are alike when RAM size, VGA memory, time mode
// and balloon are; firmware and kernel are in RAM once it has started.
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { BalloonDevice } from "./balloon-device.ts";
import {
	CR4_PAE,
	checkVersion,
	type V86Build,
	type V86Constructor,
	type V86Cpu,
	type V86Emulator,
	type V86Environment,
	type V86Exports,
	type V86Statics,
} from "./emulator.ts";
import { checkFirmware, RAMDISK_ROOM_BYTES, type V86Firmware } from "./firmware.ts";
import { GuestTime } from "./guest-time.ts";
import type { V86Hardware } from "./hardware.ts";
import { patchPageWalk, WALK } from "./page-walk.ts";

/** What comes out of a machine while it runs. */
export interface V86Output {
	/** A byte written to the first serial port. */
	onSerial(byte: number): void;
	/** A frame sent by the network card: a copy. */
	onFrame(frame: Uint8Array<ArrayBuffer>): void;
	/** There is work: an idle machine should be stepped again. */
	onWake(): void;
}

/** v86's module as it runs here. */
export interface CompiledModule {
	readonly module: WebAssembly.Module;
	/** Whether its page walk could be patched. */
	readonly patched: boolean;
}

/** Modules of v86, patched and compiled: once per build of v86 and thread. */
const compiled = new WeakMap<Uint8Array, CompiledModule>();

/** A module that another thread has compiled: with it comes what V8 has optimised of it there. */
export function adoptModule({ wasm }: V86Build, known: CompiledModule): void {
	compiled.set(wasm, known);
}

/** Patches and compiles, or finds what was compiled before. @throws {GuestError} `state` when it cannot be compiled here */
export function compiledModule({ wasm }: V86Build): CompiledModule {
	let known = compiled.get(wasm);
	if (known === undefined) {
		const patched = patchPageWalk(wasm);
		try {
			known = { module: new WebAssembly.Module(patched ?? wasm), patched: patched !== undefined };
		} catch (cause) {
			throw new GuestError("state", `v86's module cannot be compiled: ${String(cause)}`, cause);
		}
		compiled.set(wasm, known);
	}
	return known;
}

/** Locally administered, so no real card has it. */
const COUNTED_MAC_ADDRESS = "02:86:00:00:00:01";

// Where the boot protocol of Linux wants the initial RAM disk's address and length, in the setup header that v86 has put at
// 0x80000 (Documentation/arch/x86/boot.rst: ramdisk_image, ramdisk_size).
const RAMDISK_ADDRESS = 0x80218;
const RAMDISK_BYTE_LENGTH = 0x8021c;

/** See the head of this file. */
export class V86Machine {
	readonly hardware: V86Hardware;
	readonly time: GuestTime;
	/** Whether the page walk could be patched: pages can be tracked, and missing ones waited for. */
	readonly patched: boolean;
	readonly exports: V86Exports;
	readonly cpu: V86Cpu;
	readonly balloon: BalloonDevice | undefined;
	readonly #emulator: V86Emulator;
	readonly #statics: V86Statics;
	/** Steps since the machine was switched on, wherever it ran. */
	steps = 0;
	/** State of the generator behind a counted machine's random numbers; never 0. */
	randomState: number = 0x9e3779b9 | 0;

	private constructor(emulator: V86Emulator, exports: V86Exports, parts: MachineParts) {
		this.#emulator = emulator;
		this.exports = exports;
		this.hardware = parts.hardware;
		this.time = parts.time;
		this.patched = parts.patched;
		this.cpu = emulator.v86.cpu;
		this.#statics = emulator.v86.constructor;
		const { virtio_balloon: device } = this.cpu.devices;
		this.balloon = device === undefined ? undefined : new BalloonDevice(this.cpu, device, this.pageCount);
		if (exports.pageferry_ram !== undefined) exports.pageferry_ram.value = this.ramOffset;
	}

	/**
	 * Builds a machine that has not run; without firmware its RAM is all zero.
	 *
	 * @param hostNow - the clock port's `now`
	 * @param onWalk - called before a page walk while {@link watchWalks} is on, with the virtual address
	 * @throws {GuestError} `incompatible` for another version of v86, `state` when v86 cannot be started; what
	 * {@link checkFirmware} throws
	 */
	static async build(
		build: V86Build,
		hardware: V86Hardware,
		options: {
			readonly firmware?: V86Firmware;
			readonly hostNow: () => number;
			readonly output: V86Output;
			readonly onWalk?: (address: number) => void;
		},
	): Promise<V86Machine> {
		checkVersion(build);
		const { firmware, hostNow, output, onWalk } = options;
		if (firmware !== undefined) checkFirmware(firmware, hardware.memoryByteLength);
		const time = new GuestTime(hardware.time, hostNow);
		const { module, patched } = compiledModule(build);
		let machine: V86Machine | undefined;
		let exports: V86Exports | undefined;
		const instantiate = async (imports: { readonly env: V86Environment }): Promise<V86Exports> => {
			imports.env.microtick = time.microtick;
			if (hardware.time === "counted") imports.env.get_rand_int = () => machine?.nextRandom() ?? 1;
			const writeMessage = imports.env.console_log_from_wasm;
			imports.env.console_log_from_wasm = (first, second) => {
				if (second === WALK) onWalk?.(first >>> 0);
				else writeMessage(first, second);
			};
			// allowed (cast): v86 publishes no types of what its module imports and exports
			const instance = await WebAssembly.instantiate(module, imports as unknown as WebAssembly.Imports);
			// allowed (cast): the same
			exports = instance.exports as unknown as V86Exports;
			return exports;
		};
		const emulator = await startEmulator(build, hardware, firmware, instantiate);
		machine = new V86Machine(emulator, exports!, { hardware, time, patched });
		machine.#connect(output);
		const macAddress = firmware?.macAddress ?? (hardware.time === "counted" ? COUNTED_MAC_ADDRESS : undefined);
		if (macAddress !== undefined) machine.#setMacAddress(macAddress);
		if (firmware === undefined) machine.ram.fill(0);
		else if (firmware.linux !== undefined) machine.#placeInitramfs(firmware.linux.initramfs);
		return machine;
	}

	/** Address of RAM in the module's memory: a multiple of 4096. */
	get ramOffset(): number {
		return this.cpu.mem8.byteOffset;
	}

	/** RAM as it is: a view that is valid until the machine runs again. */
	get ram(): Uint8Array<ArrayBuffer> {
		const { buffer } = this.exports.memory;
		// allowed (cast): v86's memory is not shared
		return new Uint8Array(buffer as ArrayBuffer, this.ramOffset, this.hardware.memoryByteLength);
	}

	get pageCount(): number {
		return this.hardware.memoryByteLength / PAGE_BYTES;
	}

	/** Whether the guest uses page tables of 64-bit entries now. */
	get usesPae(): boolean {
		return ((this.cpu.cr[4] ?? 0) & CR4_PAE) !== 0;
	}

	/** The network card's address, `aa:bb:cc:dd:ee:ff`. */
	get macAddress(): string {
		return Array.from(this.cpu.devices.net.mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
	}

	/**
	 * Runs for about a millisecond, with its clock going.
	 * @returns how long nothing will happen by itself, in ms
	 */
	step(): number {
		this.steps++;
		const idleMs = this.within(() => this.cpu.main_loop());
		if (this.hardware.time === "real" || idleMs <= 0) return idleMs;
		this.time.skip(idleMs);
		return 0;
	}

	/** Does something with the processor or its devices in the guest's own time. */
	within<T>(work: () => T): T {
		const before = this.#statics.microtick;
		this.#statics.microtick = this.time.microtick;
		const undo = this.hardware.time === "counted" ? countedDate(this.time) : undefined;
		try {
			return work();
		} finally {
			this.#statics.microtick = before;
			undo?.();
		}
	}

	/** Types on the first serial port. */
	sendSerial(bytes: Iterable<number>): void {
		this.within(() => {
			for (const byte of bytes) this.#emulator.bus.send("serial0-input", byte);
		});
	}

	/** Gives the network card a frame. */
	sendFrame(frame: Uint8Array): void {
		this.within(() => this.#emulator.bus.send("net0-receive", frame));
	}

	/** The next random number of a counted machine (xorshift32, Marsaglia 2003). */
	nextRandom(): number {
		let state = this.randomState;
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		this.randomState = state | 0 || 1;
		return this.randomState;
	}

	#connect(output: V86Output): void {
		this.cpu.stop_idling = () => output.onWake();
		this.#emulator.add_listener("serial0-output-byte", (byte: number) => output.onSerial(byte));
		this.#emulator.add_listener("net0-send", (frame: Uint8Array) => output.onFrame(Uint8Array.from(frame)));
		if (this.hardware.time !== "counted") return;
		// What v86 has read from the wall clock while it was built would differ from run to run.
		const { rtc } = this.cpu.devices;
		rtc.rtc_time = rtc.last_update = this.time.countedDateMs;
	}

	/** Where the guest's driver reads it: each byte twice at the card's memory's start. */
	#setMacAddress(macAddress: string): void {
		const { mac, memory } = this.cpu.devices.net;
		for (const [index, digits] of macAddress.split(":").entries()) {
			mac[index] = Number.parseInt(digits, 16);
			memory[index * 2] = memory[index * 2 + 1] = mac[index]!;
		}
	}

	/** v86 itself puts it at 64 MiB, where a machine of 64 MiB has no memory. */
	#placeInitramfs(initramfs: Uint8Array): void {
		const address = this.hardware.memoryByteLength - RAMDISK_ROOM_BYTES;
		const { ram } = this;
		ram.set(initramfs, address);
		const view = new DataView(ram.buffer, ram.byteOffset);
		view.setUint32(RAMDISK_ADDRESS, address, true);
		view.setUint32(RAMDISK_BYTE_LENGTH, initramfs.byteLength, true);
	}
}

interface MachineParts {
	readonly hardware: V86Hardware;
	readonly time: GuestTime;
	readonly patched: boolean;
}

/** Lets JavaScript devices read the guest's date while they work. @returns what puts the host's date back */
function countedDate(time: GuestTime): () => void {
	const wall = globalThis.Date; // allowed (clock): the one place where devices of v86 ask for the date
	const now = wall.now;
	wall.now = () => time.countedDateMs;
	return () => {
		wall.now = now;
	};
}

/** Resolves when v86 is ready. @throws {GuestError} `state` with what v86 has thrown, wherever it was when it did */
async function startEmulator(
	build: V86Build,
	hardware: V86Hardware,
	firmware: V86Firmware | undefined,
	instantiate: (imports: { readonly env: V86Environment }) => Promise<V86Exports>,
): Promise<V86Emulator> {
	let failed: (error: unknown) => void = () => undefined;
	const failure = new Promise<never>((_, reject) => {
		failed = reject;
	});
	try {
		// allowed (cast): v86 publishes no types for its processor and devices
		const emulator = new (build.V86 as V86Constructor)({
			...settingsOf(hardware, firmware),
			// What v86 makes of the module's exports is a failure of this start too: v86 itself waits for nothing of it.
			wasm_fn: (imports: { readonly env: V86Environment }) => ({
				// biome-ignore lint/suspicious/noThenProperty: v86 asks for nothing else of what it gets
				then: (use: (exports: V86Exports) => void) => instantiate(imports).then(use).catch(failed),
			}),
		});
		reportFailures(emulator, failed);
		await Promise.race([new Promise<void>((ready) => emulator.add_listener("emulator-ready", () => ready())), failure]);
		return emulator;
	} catch (cause) {
		if (cause instanceof GuestError) throw cause;
		throw new GuestError("state", `v86 could not be started: ${String(cause)}`, cause);
	}
}

/** v86 goes on with its start in a promise that it drops and in a timer of its own: what is thrown there nobody would hear. */
function reportFailures(emulator: V86Emulator, failed: (error: unknown) => void): void {
	const goOn = emulator.continue_init;
	emulator.continue_init = async (machine, settings) => {
		try {
			const init = machine.init;
			machine.init = (options) => {
				try {
					init.call(machine, options);
				} catch (error) {
					failed(error);
				}
			};
			await goOn.call(emulator, machine, settings);
		} catch (error) {
			failed(error);
		}
	};
}

/** What v86 is made with. */
function settingsOf(hardware: V86Hardware, firmware: V86Firmware | undefined): Readonly<Record<string, unknown>> {
	const { linux } = firmware ?? {};
	return {
		bios: fileOf(firmware?.bios),
		vga_bios: fileOf(firmware?.vgaBios),
		...(linux === undefined ? {} : { bzimage: fileOf(wholeWords(linux.kernel)), cmdline: linux.commandLine }),
		memory_size: hardware.memoryByteLength,
		vga_memory_size: hardware.vgaMemoryByteLength,
		disable_jit: !hardware.compile,
		disable_keyboard: true,
		disable_mouse: true,
		disable_speaker: true,
		autostart: false,
		acpi: false,
		fastboot: true,
		net_device: { type: "ne2k" },
		...(hardware.balloon === true ? { virtio_balloon: true } : {}),
		preserve_mac_from_state_image: true,
	};
}

/** A copy, as v86 takes files. */
function fileOf(bytes: Uint8Array | undefined): { readonly buffer: ArrayBuffer } | undefined {
	return bytes === undefined ? undefined : { buffer: Uint8Array.from(bytes).buffer };
}

/** v86 reads a kernel in words of 32 bits, and fails where it ends within one. */
function wholeWords(bytes: Uint8Array): Uint8Array {
	const whole = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
	whole.set(bytes);
	return whole;
}
