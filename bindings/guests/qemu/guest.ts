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
import { checkLimit, inTime } from "./answer-limit.ts";
import { QemuBalloon } from "./balloon.ts";
import type { NetworkCard } from "./card.ts";
import type { QemuConsole } from "./console.ts";
import { QemuError } from "./errors.ts";
import type { QemuInstance } from "./instance.ts";
import type { QemuServices } from "./qemu-host.ts";
import type { QemuRam } from "./ram.ts";
import type { QemuTracking } from "./ram-tracking.ts";
import { RunState } from "./run-state.ts";

/** After a QEMU's connection has ended its process has so long to do so, in ms, and to say why. */
const LAST_WORDS_MS = 5_000;

/** What a guest is made of. */
export interface GuestParts {
	readonly services: QemuServices;
	readonly instance: QemuInstance;
	readonly ram: QemuRam;
	readonly card: NetworkCard | undefined;
	readonly facts: Readonly<Record<string, string>>;
}

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
	readonly #run: RunState;
	#isGone = false;
	#crash: GuestError | undefined;
	#onCrash: (error: GuestError) => void = () => undefined;
	/** Resolves when QEMU has ended by itself; never for a guest that was discarded. */
	readonly ended: Promise<GuestError> = new Promise((resolve) => {
		this.#onCrash = resolve;
	});
	/** For this folder. */
	constructor(parts: GuestParts, status: "running" | "waiting") {
		const { ram, instance, services, card } = parts;
		this.#parts = parts;
		const settled = () => ram.settled();
		this.#run = new RunState({ services, instance, settled, onRunning: () => card?.connect() }, status);
		this.console = instance.console;
		void instance.failed.then((cause) => this.crash(new GuestError("crashed", cause.message, cause)));
		this.pages = {
			pageCount: ram.pageCount,
			encode: (pageIndices, options) => this.#do(() => ram.encode(pageIndices, options)),
			apply: (batch, giveBack) =>
				this.#do(() => {
					this.#run.expectState();
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
			capture: () => this.#do(() => this.#run.capture()),
			restore: (bytes) => this.#do(() => this.#run.restore(bytes)),
			resource: () => Promise.resolve(undefined),
		};
	}

	/** Whether it has been told to run. */
	get isRunning(): boolean {
		return this.#run.isRunning;
	}

	/** Whether it is held at a pause point. */
	get isPaused(): boolean {
		return this.#run.isPaused;
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
	 * Runs a QMP command, for what the port does not offer: statistics, devices. Not `stop`, `cont` or `migrate`.
	 * @param options - `answerMs`: how long QEMU may take, 30 s if left out
	 * @throws {QemuError} `command`; `no-answer`: QEMU stands still, and may do it all the same when it goes on; {GuestError}
	 *   `gone`, `crashed`; RangeError naming `answerMs`
	 */
	execute(
		command: string,
		args?: Readonly<Record<string, unknown>>,
		options: { readonly answerMs?: number } = {},
	): Promise<unknown> {
		return this.#do(() => {
			if (options.answerMs !== undefined) checkLimit("answerMs", options.answerMs);
			return this.#parts.instance.qmp.execute(command, args, options);
		});
	}

	/** Calls `listener` for each event that QEMU reports. @returns what ends that */
	onEvent(listener: (name: string, data: unknown) => void): () => void {
		return this.#parts.instance.qmp.onEvent(({ name, data }) => listener(name, data));
	}

	async pause(options: PauseOptions): Promise<void> {
		await this.#do(() => {
			if (!(options.deadlineMs >= 0))
				throw new RangeError(`deadlineMs: must not be below 0, got ${options.deadlineMs}`);
			return this.#run.pause(options);
		});
		this.#check(); // it may have been discarded meanwhile
	}

	/**
	 * Lets it run, and connects its card when it does so for the first time.
	 * @throws {QemuError} `no-answer`: if QEMU was told to go on the machine counts as running, because it will as soon as QEMU
	 *   does; if QEMU had not saved its state by then, it stays paused. `network-taken`, `command`: it stays paused. {GuestError}
	 */
	async resume(): Promise<void> {
		await this.#do(async () => {
			const { card } = this.#parts;
			card?.claim(() => this.isRunning);
			try {
				await this.#run.resume();
			} finally {
				card?.unclaim();
			}
		});
		this.#check(); // see pause
	}

	async discard(): Promise<void> {
		this.#isGone = true;
		const reason = new GuestError("gone", "the guest has been discarded");
		this.#run.end();
		await this.#parts.instance.end(reason);
		await this.#parts.ram.close();
	}

	takeInterruptions(): Interruptions {
		return { slicesMs: [], pauseWaitMs: this.#run.takeLongestWait() };
	}

	/** For this folder: QEMU or a worker beside its memory has ended. */
	crash(error: GuestError): void {
		if (this.#isGone || this.#crash !== undefined) return;
		this.#crash = error;
		this.#onCrash(error);
		this.#run.end();
		const ending = [this.#parts.instance.end(error), this.#parts.ram.close(error)];
		for (const part of ending) part.catch(() => undefined); // what is left of its folder, the next start removes
	}

	#layout(): GuestLayout {
		const { pageCount } = this.#parts.ram;
		const { facts } = this.#parts;
		return { kind: this.kind, pageBytes: PAGE_BYTES, pageCount, maximumPageCount: pageCount, resources: [], facts };
	}

	/** Runs `work` unless the guest is gone; a failure of a QEMU that has ended says so. */
	async #do<T>(work: () => Promise<T>): Promise<T> {
		this.#check();
		try {
			return await work();
		} catch (error) {
			if (error instanceof QemuError && error.code === "exited") {
				if (!this.#isGone) await this.#crashed(error);
				this.#check();
			}
			throw error;
		}
	}

	/** Its process's own words come a moment later than the end of its connection, if it does end. */
	async #crashed(error: QemuError): Promise<void> {
		const { services, instance } = this.#parts;
		const last = instance.failed.then((cause) => this.crash(new GuestError("crashed", cause.message, error)));
		if (!(await inTime(services.clock, LAST_WORDS_MS, last)))
			this.crash(new GuestError("crashed", error.message, error));
	}

	#check(): void {
		if (this.#isGone) throw new GuestError("gone", "the guest has been discarded");
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
