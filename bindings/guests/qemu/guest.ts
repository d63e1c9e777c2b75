/**
 * A virtual machine under QEMU as a guest. QEMU runs as a process of its own, driven over QMP; its RAM is a file in shared
 * memory that workers scan, read and write in place (ram.ts); the state of its processors and devices is what QEMU's own
 * migration sends when shared RAM is left out (device-state.ts).
 *
 *   starting ─▶ running ── stop ──▶ paused ── cont ──▶ running        discard from anywhere
 *                                     └─ the state is saved once per pause, and kept until the machine runs again
 *
 * Invariants: after `stop` has returned neither RAM nor devices change (measured: 20 of 20 with two processors). RAM and
 * state belong together only because we pair them: QEMU checks nothing of RAM that it did not send.
 *
 * Not offered: post-copy, which needs userfaultfd; memory that grows. Changes are found by scanning: QEMU's own dirty
 * bitmap cannot be read from outside (7.2 crashes when asked under TCG).
 */
import type { BallooningGuest, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { ByteStream } from "../../ports/byte-stream.ts";
import type { UnfaultingGuest } from "../../ports/faulting-guest.ts";
import {
	type DirtyLog,
	GuestError,
	type GuestLayout,
	type GuestPages,
	type GuestState,
	type Interruptions,
	PAGE_BYTES,
	type PauseOptions,
} from "../../ports/guest.ts";
import { checkAccelerator } from "./accelerator.ts";
import { QemuBalloon } from "./balloon.ts";
import type { QemuConsole } from "./console.ts";
import { openStateInlet, prepareStateTransfer, type StateInlet, saveDeviceState } from "./device-state.ts";
import { QemuError } from "./errors.ts";
import { QemuInstance } from "./instance.ts";
import { type Accelerator, checkMachine, machineFacts, pagesOf, type QemuMachine } from "./machine.ts";
import { DEFAULT_EXECUTABLE, type QemuPlace, type QemuServices, qemuVersion } from "./qemu-host.ts";
import { QemuRam } from "./ram.ts";
import type { QemuTracker, QemuTracking } from "./ram-tracking.ts";
import { whyNoSoftDirty } from "./soft-dirty.ts";

/** How a machine is started. */
export interface StartQemuGuestOptions extends QemuPlace {
	readonly machine: QemuMachine;
	/** `tcg` if left out. */
	readonly accelerator?: Accelerator;
	/**
	 * How changed pages are found: by comparing them, or by the system's marks where a probe at the start finds that it has
	 * them (docs/qemu.md). `auto` if left out: marks where they can be trusted; {@link QemuGuest.tracking} says which it is.
	 */
	readonly tracker?: "auto" | QemuTracker;
	/** Takes the connection that carries the network card's frames: `switchPort.attach`. Needed with a `mac`. */
	readonly network?: QemuNetwork;
	/** What the machine says on its console when it is up; the start waits for such a line. */
	readonly booted?: (line: string) => boolean;
	/**
	 * Gets what a listener of the console or of QEMU's events throws; the guest runs on, and the others hear it too. Left out,
	 * such an error is an uncaught one of the process, as that of an event target's listener is.
	 */
	readonly onListenerError?: (error: unknown) => void;
	/** How long it may take to say so, in ms: 120 s if left out, which Linux needs under TCG on a busy machine. */
	readonly bootMs?: number;
}

/** Takes the frames of a machine's network card: length (u32, big-endian) and frame, both ways. */
export type QemuNetwork = (stream: ByteStream) => void;

const BOOT_MS = 120_000;
/** How long QEMU may take for a command that is not a pause, in ms. */
const ANSWER_MS = 30_000;

/**
 * Boots a machine.
 *
 * @throws {QemuError} `not-installed`, `exited`, `no-answer`, `no-file`, `no-accelerator`, `not-booted`; nothing is left then. RangeError for
 *   a machine that makes no sense.
 *
 * A machine with a balloon is a {@link BallooningQemuGuest}.
 *
 * @example
 * ```ts ignore
 * const machine = { memoryMiB: 128, boot: { kernel: "vmlinuz", initrd: "initrd.gz", append: "console=ttyS0" } };
 * const guest = await startQemuGuest(nodePlatform(), { machine, booted: (line) => line.startsWith("ready") });
 * ```
 */
export async function startQemuGuest(services: QemuServices, options: StartQemuGuestOptions): Promise<QemuGuest> {
	const { machine, accelerator = "tcg", executable = DEFAULT_EXECUTABLE, booted } = options;
	checkMachine(machine);
	if (machine.mac !== undefined && options.network === undefined)
		throw new TypeError("network: a machine with a network card needs somebody who takes its frames");
	const version = await qemuVersion(services, executable);
	await checkAccelerator(services, accelerator, options);
	const facts = await machineFacts(machine, { files: services.files, version, accelerator });
	const guest = await openGuest(services, { ...options, accelerator, incoming: false }, facts);
	if (booted === undefined) return guest;
	try {
		await waitUntilBooted(services, guest, booted, options.bootMs ?? BOOT_MS);
		return guest;
	} catch (error) {
		await guest.discard();
		throw error;
	}
}

/** For the factory: a machine that boots, or one that waits for its state. */
export async function openGuest(
	services: QemuServices,
	options: Omit<StartQemuGuestOptions, "accelerator"> & {
		readonly accelerator: Accelerator;
		readonly incoming: boolean;
	},
	facts: Readonly<Record<string, string>>,
): Promise<QemuGuest> {
	const instance = await QemuInstance.start(services, options);
	try {
		await prepareStateTransfer(instance);
		let onEnd: (error: GuestError) => void = () => undefined;
		const file = { path: instance.ramPath, pageCount: pagesOf(options.machine) };
		let isPaused = (): boolean => false;
		const process = { files: services.files, pid: instance.pid, isPaused: () => isPaused() };
		const ram = await QemuRam.open(services.workers, file, process, (error) => onEnd(error));
		await chooseTracker(services.files, options, ram, instance.pid);
		const Kind = options.machine.balloon === true ? BallooningQemuGuest : QemuGuest;
		const guest = new Kind({ services, instance, ram, facts }, options.incoming ? "waiting" : "running");
		isPaused = () => guest.isPaused;
		onEnd = (error) => guest.crash(error);
		if (instance.network !== undefined) options.network?.(instance.network);
		return guest;
	} catch (error) {
		await instance.end(new GuestError("gone", "the start failed"));
		throw error;
	}
}

/** @throws {QemuError} `no-soft-dirty` where the marks were asked for */
async function chooseTracker(
	files: QemuServices["files"],
	{ tracker = "auto", machine }: Pick<StartQemuGuestOptions, "tracker" | "machine">,
	ram: QemuRam,
	pid: number,
): Promise<void> {
	if (tracker === "scan") return;
	const process = { pid, pageCount: ram.pageCount, markedPages: () => ram.markedPages() };
	const why = await whyNoSoftDirty(files, machine, process);
	ram.tracking.decide(why);
	if (tracker === "soft-dirty" && why !== undefined)
		throw new QemuError("no-soft-dirty", `soft-dirty marks cannot be used: ${why}; use "auto" or "scan"`);
}

interface GuestParts {
	readonly services: QemuServices;
	readonly instance: QemuInstance;
	readonly ram: QemuRam;
	readonly facts: Readonly<Record<string, string>>;
}

/** `waiting`: started with nothing in it; `loaded`: has its state, and has not run. */
type Status = "running" | "paused" | "waiting" | "loaded" | "gone";

/** See the head of this file. Made by {@link startQemuGuest} and by a factory. */
export class QemuGuest implements UnfaultingGuest {
	readonly kind = "qemu";
	readonly pages: GuestPages;
	readonly dirty: DirtyLog;
	readonly state: GuestState;
	readonly console: QemuConsole;
	/** Why post-copy, hybrid and lazy restore refuse it. */
	readonly faultingObstacle = "QEMU can wait for pages only by userfaultfd, which neither Node nor Deno has";
	readonly #parts: GuestParts;
	#status: Status;
	#crash: GuestError | undefined;
	#onCrash: (error: GuestError) => void = () => undefined;
	/** Resolves when QEMU has ended by itself; never for a guest that was discarded. */
	readonly ended: Promise<GuestError> = new Promise((resolve) => {
		this.#onCrash = resolve;
	});
	/** The state of this pause. */
	#captured: Promise<Uint8Array<ArrayBuffer>> | undefined;
	/** Of a target, from its first page on. */
	#inlet: Promise<StateInlet> | undefined;
	#pauseWaitMs = 0;
	#resuming = false;

	/** For this folder. */
	constructor(parts: GuestParts, status: "running" | "waiting") {
		const { ram, instance } = parts;
		this.#parts = parts;
		this.#status = status;
		this.console = instance.console;
		void instance.failed.then((cause) => this.crash(new GuestError("crashed", cause.message, cause)));
		this.pages = {
			pageCount: ram.pageCount,
			encode: (pageIndices, options) => this.#do(() => ram.encode(pageIndices, options)),
			apply: (batch, giveBack) =>
				this.#do(() => {
					if (this.#status === "waiting") void this.#openInlet(); // not in the pause that the state comes in
					return ram.apply(batch, giveBack);
				}),
			hashes: (firstPage, pageCount) => this.#do(() => ram.hashes(firstPage, pageCount)),
			grow: (pageCount) => this.#do(() => ram.grow(pageCount)),
		};
		this.dirty = {
			get tracker() {
				return ram.tracker;
			},
			open: () => this.#do(() => ram.open()),
		};
		this.state = {
			layout: () => this.#layout(),
			capture: () => this.#do(() => this.#capture()),
			restore: (bytes) => this.#do(() => this.#restore(bytes)),
			resource: () => Promise.resolve(undefined),
		};
	}

	/** Whether it has been told to run. */
	get isRunning(): boolean {
		return this.#status === "running";
	}

	/** Whether it is held at a pause point. */
	get isPaused(): boolean {
		return this.#status === "paused" && !this.#resuming;
	}

	/** How changed pages are found, why so, and what the last look took. */
	get tracking(): QemuTracking {
		return this.#parts.ram.tracking.report;
	}

	/** QEMU's process. */
	get pid(): number {
		return this.#parts.instance.pid;
	}

	/** Its RAM: a file in shared memory, page 0 first, that QEMU and our workers have open. */
	get ramPath(): string {
		return this.#parts.instance.ramPath;
	}

	/** Whether QEMU has ended by itself, and why. */
	get crashed(): GuestError | undefined {
		return this.#crash;
	}

	/**
	 * Runs a QMP command, for what the port does not offer: statistics, devices. Not `stop`, `cont` or `migrate`: the guest
	 * would not know.
	 * @throws {QemuError} `command`; {GuestError} `gone`, `crashed`
	 */
	execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
		return this.#do(() => this.#parts.instance.qmp.execute(command, args));
	}

	/** Calls `listener` for each event that QEMU reports. @returns what ends that */
	onEvent(listener: (name: string, data: unknown) => void): () => void {
		return this.#parts.instance.qmp.onEvent(({ name, data }) => listener(name, data));
	}

	async pause({ deadlineMs, signal }: PauseOptions): Promise<void> {
		await this.#do(async () => {
			if (this.#status !== "running") return;
			const { qmp } = this.#parts.instance;
			const { clock } = this.#parts.services;
			const startMs = clock.now();
			const stopped = qmp.execute("stop");
			if (!(await this.#within(deadlineMs, stopped, signal))) {
				stopped.catch(() => undefined); // a QEMU that has ended says so itself
				// QEMU does what it was told in order: it stops, and goes on. One that does not answer is not waited for longer.
				const goesOn = await this.#within(deadlineMs, qmp.execute("cont"));
				signal?.throwIfAborted();
				const now = goesOn ? "the guest runs on" : "it does not answer; the guest runs on as soon as it does";
				throw new GuestError("pause-deadline", `QEMU did not stop within ${deadlineMs} ms; ${now}`);
			}
			this.#pauseWaitMs = Math.max(this.#pauseWaitMs, clock.now() - startMs);
			this.#status = "paused";
			// While pages are scanned. A failure shows when the state is asked for.
			this.#captured = saveDeviceState(this.#parts.services, this.#parts.instance);
			this.#captured.catch(() => undefined); // see above
		});
	}

	async resume(): Promise<void> {
		await this.#do(async () => {
			if (this.#status === "running") return;
			if (this.#status === "waiting") throw new GuestError("state", "this target has no state to run with yet");
			this.#resuming = true; // from here on nothing begins that relies on the pause
			try {
				await this.#parts.ram.settled();
				const saved = this.#captured?.catch(() => undefined); // a save that failed leaves the machine as it was
				if (saved !== undefined) await this.#answered(saved, "save its state");
				await this.#answered(this.#parts.instance.qmp.execute("cont"), "go on");
				this.#captured = undefined;
				this.#status = "running";
			} finally {
				this.#resuming = false;
			}
		});
	}

	async discard(): Promise<void> {
		this.#status = "gone";
		const reason = new GuestError("gone", "the guest has been discarded");
		this.#dropInlet();
		await this.#parts.instance.end(reason);
		await this.#parts.ram.close();
	}

	takeInterruptions(): Interruptions {
		const pauseWaitMs = this.#pauseWaitMs;
		this.#pauseWaitMs = 0;
		return { slicesMs: [], pauseWaitMs };
	}

	/** For this folder: QEMU or a worker beside its memory has ended. */
	crash(error: GuestError): void {
		if (this.#status === "gone" || this.#crash !== undefined) return;
		this.#crash = error;
		this.#onCrash(error);
		this.#dropInlet();
		const ending = [this.#parts.instance.end(error), this.#parts.ram.close(error)];
		for (const part of ending) part.catch(() => undefined); // what is left of its folder, the next start removes
	}

	#layout(): GuestLayout {
		const { pageCount } = this.#parts.ram;
		const { facts } = this.#parts;
		return { kind: this.kind, pageBytes: PAGE_BYTES, pageCount, maximumPageCount: pageCount, resources: [], facts };
	}

	async #capture(): Promise<Uint8Array<ArrayBuffer>> {
		if (this.#status === "running" || this.#status === "waiting")
			throw new GuestError("not-paused", this.#status === "running" ? "the guest runs" : "the guest has no state yet");
		try {
			return (await this.#captured!).slice();
		} catch (cause) {
			// A save that failed can be tried again in the same pause.
			this.#captured = saveDeviceState(this.#parts.services, this.#parts.instance);
			this.#captured.catch(() => undefined); // awaited by whoever asks next
			throw this.#stateError("captured", cause);
		}
	}

	async #restore(bytes: Uint8Array): Promise<void> {
		if (this.#status !== "waiting")
			throw new GuestError("state", "only a target that waits for its state can be given one");
		try {
			const loaded = this.#openInlet().then((inlet) => inlet.load(bytes));
			await this.#answered(loaded, "load its state");
		} catch (cause) {
			throw this.#stateError("restored", cause);
		}
		this.#status = "loaded";
		this.#captured = Promise.resolve(new Uint8Array(bytes));
	}

	/** The same at every call. */
	#openInlet(): Promise<StateInlet> {
		if (this.#inlet === undefined) {
			const { services, instance } = this.#parts;
			this.#inlet = openStateInlet(services, instance);
			this.#inlet.catch(() => undefined); // awaited by whoever has a state for it
		}
		return this.#inlet;
	}

	#dropInlet(): void {
		const nothing = (): void => undefined; // one that was never opened
		void this.#inlet?.then((inlet) => inlet.drop(), nothing);
	}

	#stateError(what: "captured" | "restored", cause: unknown): GuestError {
		if (this.#crash !== undefined)
			return new GuestError("state", `the state cannot be ${what}: ${this.#crash.message}`, cause);
		const why = cause instanceof Error ? cause.message : String(cause);
		return new GuestError("state", `the state of processors and devices cannot be ${what}: ${why}`, cause);
	}

	/** @returns whether `work` came in time; rejects as it does */
	async #within(deadlineMs: number, work: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
		const timer = new AbortController();
		const stop = () => timer.abort();
		signal?.addEventListener("abort", stop, { once: true });
		const late = this.#parts.services.clock.sleep(deadlineMs, timer.signal).then(
			() => false,
			() => false,
		);
		try {
			return await Promise.race([work.then(() => true), late]);
		} finally {
			signal?.removeEventListener("abort", stop);
			timer.abort();
		}
	}

	async #answered(work: Promise<unknown>, what: string): Promise<void> {
		if (!(await this.#within(ANSWER_MS, work)))
			throw new QemuError("no-answer", `QEMU was told to ${what}, and has not answered within ${ANSWER_MS} ms`);
	}

	/** Runs `work` unless the guest is gone; a failure of a QEMU that has ended says so. */
	async #do<T>(work: () => Promise<T>): Promise<T> {
		this.#check();
		try {
			return await work();
		} catch (error) {
			if (error instanceof QemuError && error.code === "exited") {
				// Its process's own words come a moment later than the end of its connection.
				if (this.#status !== "gone")
					this.crash(new GuestError("crashed", (await this.#parts.instance.failed).message, error));
				this.#check();
			}
			throw error;
		}
	}

	#check(): void {
		if (this.#status === "gone") throw new GuestError("gone", "the guest has been discarded");
		if (this.#crash !== undefined)
			throw new GuestError("gone", `the guest is gone: ${this.#crash.message}`, this.#crash);
	}
}

/** A QEMU guest whose machine has a balloon. */
export class BallooningQemuGuest extends QemuGuest implements BallooningGuest {
	readonly balloon: GuestBalloon;

	/** For this folder. */
	constructor(parts: GuestParts, status: "running" | "waiting") {
		super(parts, status);
		const { ram, services } = parts;
		this.balloon = new QemuBalloon({
			...{ pageCount: ram.pageCount, clock: services.clock, isRunning: () => this.isRunning },
			execute: (command, args) => this.execute(command, args),
			zeros: () => ram.zeros(),
		});
	}
}

async function waitUntilBooted(
	{ clock }: QemuServices,
	guest: QemuGuest,
	booted: (line: string) => boolean,
	bootMs: number,
): Promise<void> {
	const timer = new AbortController();
	let stop: () => void = () => undefined;
	const said = new Promise<true>((resolve, reject) => {
		const look = (line: string) => {
			try {
				if (booted(line)) resolve(true);
			} catch (error) {
				reject(error);
			}
		};
		// allowed (print): the machine's console, not ours
		stop = guest.console.onLine(look);
		guest.console.recent.forEach(look);
	});
	const late = clock.sleep(bootMs, timer.signal).then(
		() => false,
		() => false,
	);
	const crashed = guest.ended.then((error) => error);
	try {
		const first = await Promise.race([said, late, crashed]);
		if (first === true) return;
		const lines = guest.console.recent.slice(-20);
		const last = lines.length === 0 ? "it has said nothing" : `its last words: ${lines.slice(-3).join(" / ")}`;
		const why = first === false ? `within ${bootMs} ms` : `before it ended (${first.message})`;
		throw new QemuError(
			"not-booted",
			`the machine did not come up ${why}; ${last}`,
			lines.join("\n"),
			first || undefined,
		);
	} finally {
		stop();
		timer.abort();
	}
}
