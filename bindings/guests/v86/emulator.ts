// The part of v86 that this room touches, as types, and the check that it is the v86 we know. Its own declarations do not
// show the processor, its devices or their state.
//
// v86 (Copyright 2012 The v86 contributors, BSD-2-Clause) is the user's to install. What is written here holds for one exact
// version: offsets of registers in its memory, a function that is found by its name, device state without a format of its own.
import { GuestError } from "../../ports/guest.ts";

/** The one version of the npm package `v86` whose inside this room knows. */
export const V86_VERSION = "0.5.462";

/** v86 as a platform has loaded it: see `loadV86` of `pageferry/guests/v86`. */
export interface V86Build {
	/** `version` of its package.json. What follows a `+` names the same release. */
	readonly version: string;
	/** The class `V86` that the package exports. */
	readonly V86: unknown;
	/** The bytes of `build/v86.wasm`. */
	readonly wasm: Uint8Array<ArrayBuffer>;
}

/** @throws {GuestError} `incompatible` for any other version, with what to install */
export function checkVersion(build: Pick<V86Build, "version">): void {
	const [release] = build.version.split("+");
	if (release !== V86_VERSION)
		throw new GuestError(
			"incompatible",
			`v86 ${build.version} is installed, and only ${V86_VERSION} is known from the inside: npm install --save-exact v86@${V86_VERSION}`,
		);
}

/** The constructor's class `V86`. */
export interface V86Constructor {
	new (options: Readonly<Record<string, unknown>>): V86Emulator;
}

/** An instance of `V86`. */
export interface V86Emulator {
	readonly v86: { readonly cpu: V86Cpu; readonly constructor: V86Statics };
	readonly bus: { send(event: string, value: unknown): void };
	/** What it does when its module is there; v86 calls it, and waits for nothing of it. */
	continue_init(machine: V86Startable, settings: unknown): Promise<void>;
	add_listener(event: string, listener: (value: never) => void): void;
}

/** The machine, when its files are there. */
export interface V86Startable {
	init(settings: unknown): void;
}

/** What every instance of the page shares: its devices ask this for the time. */
export interface V86Statics {
	microtick: () => number;
}

/** What device or processor state is made of: numbers, arrays of them, and nested devices. */
export type V86State = number | string | boolean | null | undefined | V86Numbers | V86Device | readonly V86State[];

/** A typed array, or a proxy of one. */
export interface V86Numbers {
	readonly BYTES_PER_ELEMENT: number;
	readonly buffer: ArrayBuffer;
	readonly byteOffset: number;
	readonly length: number;
}

/** Something with state. */
export interface V86Device {
	get_state(): readonly V86State[];
}

/** The processor, and with it the machine. */
export interface V86Cpu extends V86Device {
	readonly wasm_memory: WebAssembly.Memory;
	/** A proxy over RAM: only its place and length are of use. */
	readonly mem8: Uint8Array;
	readonly devices: {
		readonly uart0: { input: number[] };
		readonly rtc: { last_update: number; rtc_time: number };
		readonly pci: { readonly devices: readonly ({ readonly pci_bars: unknown[] } | undefined)[] };
		readonly vga: V86Device & { readonly vga_memory: Uint8Array; text_mode_redraw?: unknown };
		readonly net: { readonly mac: Uint8Array; readonly memory: Uint8Array };
		readonly virtio_balloon?: V86BalloonDevice;
	};
	/** Who writes to each 128 KiB of addresses that are no RAM. */
	readonly memory_map_write8: ((address: number, value: number) => void)[];
	readonly memory_map_write32: ((address: number, value: number) => void)[];
	readonly cr: Int32Array;
	readonly in_hlt: Uint8Array;
	readonly current_tsc: Uint32Array;
	readonly instruction_counter: Uint32Array;
	/** Runs for about a millisecond. @returns how long there is nothing to do, in ms */
	main_loop(): number;
	full_clear_tlb(): void;
	set_tsc(low: number, high: number): void;
	set_state(state: readonly unknown[]): void;
	stop_idling: () => void;
	/** Of the class; one of the instance's own goes before it. */
	pack_memory?: unknown;
	unpack_memory?: unknown;
	/** Of the module itself: no processor, no TLB. */
	zero_memory(address: number, byteLength: number): void;
	write_blob(blob: ArrayBufferView & { readonly length: number }, offset: number): void;
	read_blob(offset: number, length: number): Uint8Array;
	read8(address: number): number;
	read16(address: number): number;
	read32s(address: number): number;
	write8(address: number, value: number): void;
	write16(address: number, value: number): void;
	write32(address: number, value: number): void;
}

/** A virtio balloon (src/virtio_balloon.js of v86). */
export interface V86BalloonDevice {
	/** How many pages the driver should give up. */
	num_pages: number;
	readonly virtio: {
		device_status: number;
		readonly device_feature: Uint32Array;
		/** Of inflation, deflation, statistics, hints of free pages. */
		readonly queues: readonly V86Queue[];
		notify_config_changes(): void;
		reset(): void;
	};
	/** Gets the driver's statistics by name: `MEMFREE` in bytes, its lower 32 bits. */
	stats_cb?: (statistics: { readonly MEMFREE?: number }) => void;
}

/** A virtio queue. */
export interface V86Queue {
	pop_request(): V86BufferChain;
	/** Gives back what was answered since the last time. */
	flush_replies(): void;
}

/** What a driver has put into a queue at once. */
export interface V86BufferChain {
	/** @returns bytes that were read */
	get_next_blob(into: Uint8Array): number;
}

/** What the WebAssembly module imports as `env`; the functions that this room replaces. */
export interface V86Environment {
	microtick: () => number;
	get_rand_int: () => number;
	console_log_from_wasm: (first: number, second: number) => void;
}

/** What the module exports, and what the patch adds (page-walk.ts). */
export interface V86Exports {
	readonly memory: WebAssembly.Memory;
	/** The time-stamp counter, a 64-bit number. */
	read_tsc(): bigint;
	v86_malloc(byteLength: number): number;
	/** Address of the byte map of written pages; 0 while nobody watches. */
	readonly pageferry_written?: { value: number };
	/** Address of RAM. */
	readonly pageferry_ram?: { value: number };
	/** Not 0: every page walk reports its address first. */
	readonly pageferry_walks?: { value: number };
}

/** Places in the module's memory (src/cpu.js of v86). */
export const Place = {
	/** Lazy flags, FPU status (16 bits) and SSE control: `set_state` puts a new view in place of the value. */
	lastResult: 112,
	fpuStatus: 1040,
	mxcsr: 824,
	/** CR0, and the others behind it: bit 31 of CR0 says that paging is on. */
	controlRegisters: 580,
	/** Bytes of RAM. */
	memoryByteLength: 812,
	/** Limit and base of the segment and interrupt descriptor tables. */
	segmentTable: 572,
	interruptTable: 564,
	/** Of the segment registers; the task state's is the seventh. */
	segmentBases: 736,
	segmentLimits: 768,
} as const;

/** CR4.PAE: page tables of 64-bit entries. */
export const CR4_PAE: number = 1 << 5;
/** CR4.PSE: pages of 4 MiB. */
export const CR4_PSE: number = 1 << 4;
