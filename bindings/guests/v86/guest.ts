/**
 * A PC in v86 as a guest, on the caller's thread: a real operating system, stepped a millisecond at a time.
 *
 *        ┌──────── resume ────────┐
 *     running ─── pause ───▶ paused ─── discard ──▶ gone
 *        └── v86 fails ──▶ crashed
 *
 * Between two steps nothing of the machine changes: that is where it is paused, its pages are read and its state is captured,
 * and a pause never waits for more than the step under way. Its dirty pages come from its page walk (page-walk.ts) or from a
 * scan; its clock stands still while it does, and goes on where it stopped wherever it runs next.
 */
import type { BallooningGuest, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import type { CopyControl, CopyingGuest } from "../../ports/copying-guest.ts";
import type { DeltaControl, DeltaGuest, PageSender } from "../../ports/delta-guest.ts";
import type { LeaveControl, LeavingGuest } from "../../ports/faulting-guest.ts";
import {
	type EncodedBatch,
	GuestError,
	type GuestState,
	type Interruptions,
	type PageBits,
	type PauseOptions,
} from "../../ports/guest.ts";
import { MAX_PROMPT_PAGES, type PromptPages } from "../../ports/prompt-pages.ts";
import type { BootOptions } from "../booting.ts";
import { throwLater } from "../listeners.ts";
import { V86Balloon } from "./balloon.ts";
import { startOrDiscard } from "./boot.ts";
import { V86Copies } from "./copies.ts";
import { DeviceState } from "./device-state.ts";
import { atOnce, V86DirtyLog, type V86Tracker } from "./dirty-log.ts";
import type { V86Build } from "./emulator.ts";
import { Ends } from "./ends.ts";
import type { V86Firmware } from "./firmware.ts";
import { hardwareOf, type V86Hardware, type V86HardwareOptions } from "./hardware.ts";
import { layoutOf } from "./layout.ts";
import { V86Machine } from "./machine.ts";
import { MissingRam, V86_PINNED_PAGE } from "./missing-ram.ts";
import type { NetworkCard, V86NetworkCard, V86NetworkPort } from "./network-card.ts";
import { drained, PageWork } from "./page-work.ts";
import type { SerialPort, V86SerialPort } from "./serial-port.ts";
import { Slices } from "./slices.ts";

/** What {@link V86Guest.start} takes. */
export interface StartV86GuestOptions extends V86GuestOptions, V86HardwareOptions, BootOptions {
	/** What it boots from. */
	readonly firmware: V86Firmware;
}

/** What a guest needs wherever it runs. */
export interface V86GuestOptions {
	/** v86: `await loadV86()`. */
	readonly v86: V86Build;
	readonly clock: Clock;
	/** The longest that work on a running guest may hold it, in ms: 2 if left out. */
	readonly sliceMs?: number;
	/** `page-walk` if left out: dirty pages are found there where it can be followed. */
	readonly tracker?: V86Tracker;
	/**
	 * Gets what a listener of the serial port or the network card throws; the guest runs on. Left out, such an error is
	 * uncaught in this process, as one of an event target's listener is.
	 */
	readonly onListenerError?: (error: unknown) => void;
	/** Where its card is once it runs here (`V86NetworkCard.connect`). Of several guests of one factory the last to run has it. */
	readonly network?: V86NetworkPort;
}

const USUAL_SLICE_MS = 2;
/** Below this a sleep costs more than a turn of the event loop. */
const SHORT_IDLE_MS = 1;

/**
 * Restores of its own state that make a target's first real one as fast as the next (5.6 ms, then 0.7). With 4 of them V8 begins
 * to optimise what they run during the real one: 5 ms of its threads, for which the switch waits where they are more than cores.
 */
const WARMING_RESTORES = 16;

type Status = "running" | "paused" | "gone" | "crashed";

/** See the head of this file. */
export class V86Guest implements LeavingGuest, DeltaGuest, CopyingGuest {
	readonly kind = "v86";
	readonly pages: PromptPages;
	readonly dirty: V86DirtyLog;
	readonly state: GuestState;
	readonly deltas: DeltaControl;
	readonly copies: CopyControl;
	readonly serial: V86SerialPort;
	readonly network: V86NetworkCard;
	/** It can be left behind by post-copy; to run while pages are missing it must live in a worker (V86WorkerGuest). */
	readonly leaving: LeaveControl = { pinned: () => Promise.resolve(pinnedPages(this.#machine.pageCount)) };
	/**
	 * Pages that are missing: for the worker that this guest lives in.
	 * @internal
	 */
	readonly missing: MissingRam;
	/** For {@link BallooningV86Guest}. */
	protected readonly driven: V86Balloon | undefined;
	readonly #machine: V86Machine;
	readonly #clock: Clock;
	readonly #work: PageWork;
	readonly #devices: DeviceState;
	readonly #slices: Slices;
	readonly #serial: SerialPort;
	readonly #network: NetworkCard;
	/**
	 * Resolves when v86 fails in a step; never for a guest that was discarded.
	 * @internal
	 */
	readonly crashed: Promise<GuestError>;
	#status: Status = "paused";
	#crash: unknown;
	#onCrash: (error: GuestError) => void = () => undefined;
	/** Ends the rest of an idle guest. */
	#wake: () => void = () => undefined;
	/** The loop that steps it; a loop that is not the newest ends. */
	#loop = 0;

	/** For {@link V86Guest.build}. */
	protected constructor(machine: V86Machine, missing: MissingRam, ports: Ends, options: V86GuestOptions) {
		this.#machine = machine;
		this.#clock = options.clock;
		this.crashed = new Promise((resolve) => {
			this.#onCrash = resolve;
		});
		this.#work = new PageWork(machine);
		this.missing = missing;
		missing.connect(machine, this.#work.engine);
		this.#devices = new DeviceState(machine, this.#work.engine, this.#work.kernels);
		this.#slices = new Slices(options.clock, options.sliceMs ?? USUAL_SLICE_MS, () => this.#status === "running");
		const run = <T>(job: () => Generator<void, T>): Promise<T> => this.#run(job);
		this.dirty = new V86DirtyLog(machine, this.#work, run, options.tracker ?? "page-walk", () =>
			missing.require("a shadow of the memory", 0, machine.pageCount),
		);
		this.serial = this.#serial = ports.serial;
		this.network = this.#network = ports.network;
		if (options.network !== undefined) ports.network.connect(options.network);
		this.pages = this.#makePages();
		this.state = this.#makeState();
		this.deltas = { open: (sentPages) => this.#do(() => this.#openSender(sentPages)) };
		this.copies = this.#makeCopies();
		ports.wake = () => this.#wake();
		ports.requireGuest = () => this.#require("any");
		this.driven = this.#makeBalloon();
	}

	/**
	 * Builds a machine and lets it boot; with `booted`, waits until it has.
	 *
	 * @throws {GuestError} `incompatible` for another version of v86, `state` when it does not start; {@link V86Error} `firmware`,
	 * `not-booted`; RangeError for a size
	 */
	static async start(options: StartV86GuestOptions): Promise<V86Guest> {
		const guest = await V86Guest.build(hardwareOf(options), options, options.firmware);
		await startOrDiscard(guest, {
			...{ serial: guest.#serial, crashed: guest.crashed, clock: options.clock },
			options,
		});
		return guest;
	}

	/** A paused machine: without firmware a target for pages and state, its RAM all zero. */
	static async build(hardware: V86Hardware, options: V86GuestOptions, firmware?: V86Firmware): Promise<V86Guest> {
		const ports = new Ends(options.onListenerError ?? throwLater);
		const missing = new MissingRam(options.clock);
		const machine = await V86Machine.build(options.v86, hardware, {
			...(firmware === undefined ? {} : { firmware }),
			hostNow: () => options.clock.now(),
			output: ports,
			onWalk: (address) => missing.onWalk(address),
		});
		ports.connect(machine);
		const Kind = hardware.balloon === true ? BallooningV86Guest : V86Guest;
		const guest = new Kind(machine, missing, ports, options);
		guest.#work.prepare();
		// The first capture and the first restore run code that was never run: better here than in a switch.
		const state = guest.#devices.capture();
		if (firmware !== undefined) guest.#serial.ready();
		else for (let time = 0; time < WARMING_RESTORES; time++) guest.#devices.restore(state);
		return guest;
	}

	/** What the guest's clock shows, in ms since it was switched on, pauses left out. */
	get timeMs(): number {
		return this.#machine.time.valueMs;
	}

	/** Steps since the machine was switched on, wherever they were made. With a counted clock: the place in the run. */
	get steps(): number {
		return this.#machine.steps;
	}

	/** Whether the processor waits for an interrupt. */
	get halted(): boolean {
		return (this.#machine.cpu.in_hlt[0] ?? 0) !== 0;
	}

	/** Instructions that the processor has executed here; wraps at 2^32. */
	get instructions(): number {
		return this.#machine.cpu.instruction_counter[0] ?? 0;
	}

	/** @internal */
	get hasCrashed(): boolean {
		return this.#status === "crashed";
	}

	/** Reads RAM as it is now: physical addresses. @throws RangeError beyond it; {@link GuestError} `gone` */
	readMemory(address: number, byteLength: number): Uint8Array<ArrayBuffer> {
		this.#require("any");
		this.#checkRange(address, byteLength);
		this.missing.touch(address, byteLength);
		return this.#machine.ram.slice(address, address + byteLength);
	}

	/** Writes RAM, as a device would: compiled code of it is thrown away. @throws RangeError beyond it; {@link GuestError} `not-running`, `gone` */
	writeMemory(address: number, bytes: Uint8Array): void {
		this.#require("running");
		this.#checkRange(address, bytes.byteLength);
		if (bytes.byteLength === 0) return;
		this.missing.touch(address, bytes.byteLength);
		this.#machine.cpu.write_blob(bytes, address);
	}

	/**
	 * Lets a paused guest make so many steps and stay paused: for runs that must be the same each time (a `counted` clock).
	 * @throws {GuestError} `not-paused`, `crashed`, `gone`
	 */
	async advance(steps: number): Promise<void> {
		this.#require("paused");
		this.#serial.resumed();
		this.#open(true);
		try {
			for (let step = 0; step < steps; step++) {
				this.#step();
				// Compiled code arrives by a turn of the event loop.
				if (step % 16 === 15) await this.#clock.sleep(0);
				this.#require("any");
			}
		} finally {
			this.#open(false);
		}
	}

	pause(_options: PauseOptions): Promise<void> {
		return this.#do(() => {
			if (this.#status === "paused") return;
			this.#status = "paused";
			this.#loop++;
			this.driven?.stop();
			this.#open(false);
			this.#wake();
		});
	}

	resume(): Promise<void> {
		return this.#do(() => {
			if (this.#status === "running") return;
			this.#status = "running";
			this.#serial.ready();
			this.#serial.resumed();
			this.#open(true);
			void this.#runLoop(++this.#loop);
		});
	}

	discard(): Promise<void> {
		if (this.#status !== "gone") {
			this.#status = "gone";
			this.#loop++;
			this.#machine.time.stop();
			this.#network.close();
			this.#wake();
			this.#work.dispose();
		}
		return Promise.resolve();
	}

	/**
	 * Installs missing pages that have come.
	 * @internal
	 */
	drainMissing(): Promise<void> {
		return this.#run(() => this.missing.drain());
	}

	takeInterruptions(): Interruptions {
		// The caller is on the guest's thread: when it asks for a pause, no step is under way.
		return { slicesMs: this.#slices.takeSlices(), pauseWaitMs: 0 };
	}

	async #runLoop(loop: number): Promise<void> {
		// Who has resumed it goes first: the answer *running* does not wait for a step.
		await this.#clock.sleep(0);
		while (this.#loop === loop) {
			const idleMs = this.#step();
			if (this.#loop !== loop) return;
			if (idleMs < SHORT_IDLE_MS) await this.#clock.sleep(0);
			else await this.#rest(idleMs);
		}
	}

	/** One step; a machine that fails in it is a crashed guest. */
	#step(): number {
		try {
			return this.#machine.step();
		} catch (cause) {
			this.#crash = cause;
			this.#status = "crashed";
			this.#loop++;
			this.#open(false);
			this.#onCrash(this.#crashError());
			return 0;
		} finally {
			this.#serial.flush();
			this.#network.flush();
			if (this.#status === "crashed") this.#network.close();
		}
	}

	/** Nothing happens by itself for so long; a frame, a keystroke or a pause ends the rest early. */
	async #rest(durationMs: number): Promise<void> {
		const rest = new AbortController();
		this.#wake = () => rest.abort();
		try {
			await this.#clock.sleep(durationMs, rest.signal);
		} catch (error) {
			if (!rest.signal.aborted) throw error;
		} finally {
			this.#wake = () => undefined;
		}
	}

	/** Whether time passes, and frames reach the machine. */
	#open(open: boolean): void {
		if (open) this.#machine.time.start();
		else this.#machine.time.stop();
		this.#network.open = open;
	}

	#makePages(): PromptPages {
		const work = this.#work;
		const isPaused = (): boolean => this.#status !== "running";
		return {
			pageCount: this.#machine.pageCount,
			encode: (pageIndices, options) =>
				this.#run(() => {
					for (const page of pageIndices) this.missing.require("a batch", page, 1);
					return work.encode(pageIndices, options, isPaused);
				}),
			encodeNow: (pageIndices, options) => {
				if (this.#status !== "paused" || this.missing.remaining > 0) return undefined;
				return pageIndices.length <= MAX_PROMPT_PAGES
					? drained(work.encode(pageIndices, options, isPaused))
					: undefined;
			},
			apply: (batch: EncodedBatch) =>
				this.#run(() =>
					atOnce(() => {
						this.#require("paused");
						return work.apply(batch);
					}),
				),
			hashes: (firstPage, pageCount) =>
				this.#run(() => {
					this.missing.require("hashes", firstPage, pageCount);
					return work.hashes(firstPage, pageCount);
				}),
			grow: (pageCount) =>
				this.#do(() => {
					if (pageCount > this.#machine.pageCount)
						throw new GuestError("too-large", `a PC's memory does not grow: it has ${this.#machine.pageCount} pages`);
				}),
		};
	}

	#makeCopies(): CopyControl {
		const [work, missing] = [this.#work, this.missing];
		return new V86Copies({
			...{ work, missing },
			copyState: () => this.#copyState(),
			run: (job) => this.#slices.run(job),
			requirePaused: () => this.#require("paused"),
			isPaused: () => this.#status !== "running",
		});
	}

	#makeBalloon(): V86Balloon | undefined {
		const { balloon: device, pageCount, time } = this.#machine;
		if (device === undefined) return undefined;
		return new V86Balloon({
			...{ device, pageCount, clock: this.#clock, guestNow: () => time.valueMs },
			within: (work) => {
				this.#machine.within(work);
				this.#wake();
			},
			isRunning: () => {
				this.#require("any");
				return this.#status === "running";
			},
		});
	}

	/** Its work is done in turn with the guest's other work, in the same slices. */
	#openSender(sentPages: number): PageSender {
		const sender = this.#work.openSender(sentPages);
		return {
			memoryBytes: sender.memoryBytes,
			encode: (pageIndices, options) =>
				this.#run(() => {
					for (const page of pageIndices) this.missing.require("a batch", page, 1);
					return sender.encode(pageIndices, options, () => this.#status !== "running");
				}),
			forget: async () => sender.forget(),
			close: async () => sender.close(),
		};
	}

	#makeState(): GuestState {
		return {
			layout: () => layoutOf(this.#machine),
			capture: () =>
				this.#do(() => {
					this.#require("paused");
					return this.#copyState()();
				}),
			restore: (bytes) =>
				this.#do(() => {
					this.#require("paused");
					this.#devices.restore(bytes);
					this.#serial.ready();
				}),
			resource: () => Promise.resolve(undefined),
		};
	}

	/** @returns what encodes it, also when the guest has run on */
	#copyState(): () => Uint8Array<ArrayBuffer> {
		this.#serial.captured();
		return this.#devices.copy();
	}

	#checkRange(address: number, byteLength: number): void {
		const { memoryByteLength } = this.#machine.hardware;
		if (!(address >= 0) || !(byteLength >= 0) || address + byteLength > memoryByteLength)
			throw new RangeError(`address: ${address} + ${byteLength} bytes lie beyond ${memoryByteLength}`);
	}

	async #run<T>(job: () => Generator<void, T>): Promise<T> {
		this.#require("any");
		return this.#slices.run(() => {
			this.#require("any");
			return job();
		});
	}

	async #do<T>(work: () => T): Promise<T> {
		this.#require("any");
		return work();
	}

	#crashError(): GuestError {
		return new GuestError("crashed", `v86 failed: ${String(this.#crash)}; the guest is lost`, this.#crash);
	}

	#require(status: "running" | "paused" | "any"): void {
		if (this.#status === "gone") throw new GuestError("gone", "the guest has been discarded");
		if (this.#status === "crashed") throw this.#crashError();
		if (status === "running" && this.#status !== "running") throw new GuestError("not-running", "the guest is paused");
		if (status === "paused" && this.#status !== "paused") throw new GuestError("not-paused", "the guest runs");
	}
}

/** A v86 guest whose machine has a balloon: `startSelfBallooning` keeps what it does not need out of every move and snapshot. */
export class BallooningV86Guest extends V86Guest implements BallooningGuest {
	/** See docs/v86.md. Its guest's system must have booted: {@link GuestError} `no-driver` until then. */
	readonly balloon: GuestBalloon = this.driven!;
}

/** What a v86 guest cannot wait for. */
export function pinnedPages(pageCount: number): PageBits {
	const bits = new Uint8Array(Math.ceil(pageCount / 8));
	bits[V86_PINNED_PAGE >>> 3]! |= 1 << (V86_PINNED_PAGE & 7);
	return bits;
}
