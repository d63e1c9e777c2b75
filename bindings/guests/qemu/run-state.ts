// Whether a machine runs, and what state its processors and devices have while it does not.
//
//   running ── stop answered ──▶ paused ── cont sent ──▶ resuming ── cont answered ──▶ running
//                                  └─ the state is saved once per pause       waiting ── state restored ──▶ loaded ── cont …
//
// Invariants: a machine counts as paused only while `stop` is answered and no `cont` has been sent since: QEMU does what it was
// told in order, so one that stands still with a `cont` behind it runs as soon as it goes on, whoever has given up waiting. A
// saved state goes when `cont` is sent, not when it is answered. What an order's answer means is decided only if it was the last.
import type { Clock } from "../../ports/clock.ts";
import { GuestError, type PauseOptions } from "../../ports/guest.ts";
import { answered, inTime } from "./answer-limit.ts";
import { openStateInlet, type StateInlet, saveDeviceState } from "./device-state.ts";
import { QemuError } from "./errors.ts";
import type { QemuInstance } from "./instance.ts";
import type { QemuServices } from "./qemu-host.ts";

/** `resuming`: told to run, and not answered yet; `waiting`: started with nothing in it; `loaded`: has its state, has not run. */
export type RunStatus = "running" | "paused" | "resuming" | "waiting" | "loaded";

/** What {@link RunState} works with. */
export interface RunParts {
	readonly services: QemuServices;
	readonly instance: QemuInstance;
	/** Resolves when nothing relies on a paused machine any more. */
	settled(): Promise<void>;
	/** The machine runs, as QEMU has said. */
	onRunning(): void;
}

type State = Uint8Array<ArrayBuffer>;

/** See the head of this file. */
export class RunState {
	readonly #parts: RunParts;
	readonly #clock: Clock;
	#status: RunStatus;
	#lastOrder: "stop" | "cont" = "cont";
	/** Counts orders of another kind than the one before. */
	#orders = 0;
	/** A `cont` is about to be sent. */
	#leaving: Promise<void> | undefined;
	#isEnded = false;
	/** The state of this pause. */
	#captured: Promise<State> | undefined;
	/** The answer to the last `cont`. */
	#going: Promise<void> = Promise.resolve();
	/** Of a target, from its first page on. */
	#inlet: Promise<StateInlet> | undefined;
	#longestWaitMs = 0;

	constructor(parts: RunParts, status: "running" | "waiting") {
		this.#parts = parts;
		this.#clock = parts.services.clock;
		this.#status = status;
		// Before the answer to a `cont` of ours: then it is resuming already. Else somebody has told QEMU past us.
		parts.instance.qmp.onEvent(({ name }) => {
			if (name === "RESUME" && (this.#status === "paused" || this.#status === "loaded")) this.#run();
		});
	}

	/** Whether it has been told to run. */
	get isRunning(): boolean {
		return !this.#isEnded && (this.#status === "running" || this.#status === "resuming");
	}

	/** Whether it is held, and is not about to run. */
	get isPaused(): boolean {
		return this.#isHeld && this.#leaving === undefined;
	}

	/** The longest wait for a pause since the last call, in ms. */
	takeLongestWait(): number {
		const waitMs = this.#longestWaitMs;
		this.#longestWaitMs = 0;
		return waitMs;
	}

	/** @throws {GuestError} `pause-deadline`: it runs on; the signal's reason */
	async pause({ deadlineMs, signal }: PauseOptions): Promise<void> {
		const startMs = this.#clock.now();
		// Somebody lets it run, and has not done so yet: that pause is not this caller's.
		if (this.#leaving !== undefined) await inTime(this.#clock, deadlineMs, this.#leaving, signal);
		if (this.#status !== "running" && this.#status !== "resuming") return;
		const stopped = this.#stop();
		const leftMs = Math.max(0, deadlineMs - (this.#clock.now() - startMs));
		const came = await inTime(this.#clock, leftMs, stopped, signal);
		if (this.#isEnded) return; // its guest says so
		// It may have come in the same moment as the deadline.
		if (came || (this.#isHeld && !signal?.aborted)) {
			if (!this.#isHeld) throw new GuestError("pause-deadline", "another pause of it was given up: it runs on");
			this.#longestWaitMs = Math.max(this.#longestWaitMs, this.#clock.now() - startMs);
			this.#save(); // while pages are scanned
			return;
		}
		stopped.catch(() => undefined); // a QEMU that has ended says so itself
		// QEMU does what it was told in order: it stops, and goes on. One that does not answer is not waited for longer.
		const goesOn = await inTime(this.#clock, deadlineMs, this.#continue());
		signal?.throwIfAborted();
		const now = goesOn ? "the guest runs on" : "it does not answer; the guest runs on as soon as it does";
		throw new GuestError("pause-deadline", `QEMU did not stop within ${deadlineMs} ms; ${now}`);
	}

	/**
	 * @throws {QemuError} `no-answer`: before `cont` was sent it stays paused, after that it counts as running; `command`: it stays
	 *   paused
	 */
	async resume(): Promise<void> {
		if (this.#status === "running") return;
		if (this.#status === "waiting") throw new GuestError("state", "this target has no state to run with yet");
		if (this.#status !== "resuming") {
			// From here on nothing begins that relies on the pause.
			const leaving = this.#leave();
			const left = leaving.then(
				() => undefined,
				() => undefined,
			);
			this.#leaving = left;
			try {
				await leaving;
			} finally {
				if (this.#leaving === left) this.#leaving = undefined;
			}
			if (this.#isEnded) return; // its guest says so
		}
		await answered(this.#clock, this.#going, "go on", { otherwise: "the machine runs on as soon as it does" });
	}

	/** Sends `cont` once nothing relies on the pause any more. @throws {QemuError} `no-answer`: it stays paused */
	async #leave(): Promise<void> {
		await this.#parts.settled();
		const saved = this.#captured?.catch(() => undefined); // a save that failed leaves the machine as it was
		if (saved !== undefined)
			await answered(this.#clock, saved, "save its state", { otherwise: "the machine stays paused" });
		if (!this.#isEnded && (this.#status === "paused" || this.#status === "loaded")) this.#continue();
	}

	/** @throws {GuestError} `not-paused`, `state` */
	async capture(): Promise<State> {
		if (this.#leaving !== undefined) throw new GuestError("not-paused", "the guest is being let run");
		if (this.#status === "waiting") throw new GuestError("not-paused", "the guest has no state yet");
		if (this.#status !== "paused" && this.#status !== "loaded") throw new GuestError("not-paused", "the guest runs");
		const saving = this.#save();
		let state: State;
		try {
			state = await answered(this.#clock, saving, "save its state");
		} catch (cause) {
			throw stateError("captured", cause);
		}
		if (this.#captured !== saving) throw new GuestError("not-paused", "the guest was let run meanwhile");
		return state.slice();
	}

	/** @throws {GuestError} `state`: it is of no use any more */
	async restore(bytes: Uint8Array): Promise<void> {
		if (this.#status !== "waiting")
			throw new GuestError("state", "only a target that waits for its state can be given one");
		try {
			const loaded = this.openInlet().then((inlet) => inlet.load(bytes));
			await answered(this.#clock, loaded, "load its state");
		} catch (cause) {
			throw stateError("restored", cause);
		}
		this.#status = "loaded";
		this.#captured = Promise.resolve(new Uint8Array(bytes));
	}

	/** Pages come, and the state will: its way in is opened, not in the pause that it comes in. */
	expectState(): void {
		if (this.#status === "waiting") void this.openInlet();
	}

	/** The same at every call. */
	openInlet(): Promise<StateInlet> {
		if (this.#inlet === undefined) {
			const { services, instance } = this.#parts;
			this.#inlet = openStateInlet(services, instance);
			this.#inlet.catch(() => undefined); // awaited by whoever has a state for it
		}
		return this.#inlet;
	}

	/** For a guest that is gone: what is answered from now on changes nothing. */
	end(): void {
		this.#isEnded = true;
		const nothing = (): void => undefined; // one that was never opened
		void this.#inlet?.then((inlet) => inlet.drop(), nothing);
	}

	get #isHeld(): boolean {
		return !this.#isEnded && this.#status === "paused";
	}

	/** @returns the number of an order that is sent now */
	#order(order: "stop" | "cont"): number {
		if (this.#lastOrder !== order) this.#orders++;
		this.#lastOrder = order;
		return this.#orders;
	}

	#stop(): Promise<void> {
		const order = this.#order("stop");
		return this.#parts.instance.qmp.send("stop").then(() => {
			if (!this.#isEnded && order === this.#orders) this.#status = "paused";
		});
	}

	/** @returns what resolves when it runs; it may be left alone */
	#continue(): Promise<void> {
		const before = this.#status === "loaded" ? "loaded" : "paused"; // or on its way there: see pause
		const captured = this.#captured;
		const order = this.#order("cont");
		this.#status = "resuming";
		this.#captured = undefined;
		const isLast = (): boolean => !this.#isEnded && order === this.#orders;
		this.#going = this.#parts.instance.qmp.send("cont").then(
			() => {
				if (isLast()) this.#run();
			},
			(error: unknown) => {
				// What QEMU has refused it has not done.
				if (isLast() && error instanceof QemuError && error.code === "command") {
					this.#status = before;
					this.#captured = captured;
				}
				throw error;
			},
		);
		this.#going.catch(() => undefined); // whoever waits gets it, and a QEMU that has ended says so itself
		return this.#going;
	}

	#run(): void {
		this.#status = "running";
		this.#captured = undefined;
		this.#parts.onRunning();
	}

	/** The save of this pause; one that failed is tried again by whoever asks next. */
	#save(): Promise<State> {
		if (this.#captured !== undefined) return this.#captured;
		const saving = saveDeviceState(this.#parts.services, this.#parts.instance);
		this.#captured = saving;
		saving.catch(() => {
			if (this.#captured === saving) this.#captured = undefined;
		});
		return saving;
	}
}

function stateError(what: "captured" | "restored", cause: unknown): GuestError {
	const why = cause instanceof Error ? cause.message : String(cause);
	return new GuestError("state", `the state of processors and devices cannot be ${what}: ${why}`, cause);
}
