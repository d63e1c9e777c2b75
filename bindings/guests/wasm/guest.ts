/**
 * A WebAssembly guest, seen from outside: any core module with a program (program.ts), running in its own worker.
 *
 *   call ─▶ queue ─▶ worker: calls of the program and slices of live work take turns ─▶ answers
 *                       pause = a call boundary: nothing of the program runs, calls wait in the queue
 *
 * Dirty pages are found by a scan (guests/scan-tracker.ts). Invariants: the guest's bytes never leave the worker but as
 * batches and state; a call is answered by this guest, or rejects with a reason that says whether it may have been executed.
 */

import type { GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { CalledGuest } from "../../ports/called-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import type { DeltaControl, DeltaGuest } from "../../ports/delta-guest.ts";
import type { FaultControl } from "../../ports/faulting-guest.ts";
import type { GatedGuest } from "../../ports/gated-guest.ts";
import { GuestError, type GuestState, type Interruptions, type PauseOptions } from "../../ports/guest.ts";
import type { PageOrder } from "../../ports/ordered-guest.ts";
import type { Standby, StandbyGuest } from "../../ports/standby-guest.ts";
import type { GuestThrottle, ThrottledGuest } from "../../ports/throttled-guest.ts";
import type { RestoreNotice, ToldGuest } from "../../ports/told-guest.ts";
import type { WorkerPort } from "../../ports/worker.ts";
import { HeldOutput } from "../held-output.ts";
import { InboxFaults } from "../inbox-faults.ts";
import { reachPause } from "../worker-pause.ts";
import { CallQueue, callErrorAfterDiscard } from "./call-queue.ts";
import { keepCode, recallCode } from "./code-cache.ts";
import type { TrackerName } from "./dirty-tracker.ts";
import { WasmBalloon } from "./guest-balloon.ts";
import { WasmDeltas } from "./guest-deltas.ts";
import { WasmDirtyLog } from "./guest-dirty.ts";
import { WasmPageOrder } from "./guest-order.ts";
import { WasmGuestPages } from "./guest-pages.ts";
import { WasmGuestState } from "./guest-state.ts";
import { whyUndeclared } from "./host-runtime.ts";
import { supportsInstrumentation } from "./module/page-map.ts";
import { moduleFact } from "./module-hash.ts";
import type { StartOrder, WorkerMemoryUse, WorkReport } from "./protocol.ts";
import { estimateBytes } from "./value-size.ts";
import type { BarrierReport } from "./verified-tracker.ts";
import { faultedWorker, WorkerClient } from "./worker-client.ts";

/** Live work holds the guest's thread at most so long at a time, in ms. */
const DEFAULT_SLICE_MS = 2;

/** Batches that a move has under way: one encoded, one queued, two on their way through the socket. */
const PREPARED_BUFFERS = 4;

/** How to start a guest. */
export interface StartWasmGuestOptions {
	readonly workers: WorkerPort;
	readonly clock: Clock;
	/** URL of the program's module, see docs/programs.md. */
	readonly programUrl: string;
	/** The WebAssembly module, for a program that does not bring its own. */
	readonly moduleBytes?: Uint8Array<ArrayBuffer>;
	/** {@link DEFAULT_SLICE_MS} if left out. */
	readonly sliceMs?: number;
	/**
	 * How dirty pages are found. `scan` (default) compares the memory with a shadow copy. `barrier` runs code that marks what
	 * it writes while a cursor is open; it needs a program that declares its host access and a runtime with a second
	 * WebAssembly memory, and is a scan without them: `guest.dirty.tracker` says which. `verified-barrier` does both, and
	 * {@link WasmGuest.barrierReport} says what the barrier has missed.
	 */
	readonly tracker?: TrackerName;
	/** Keep the shadow's memory after the last dirty cursor was closed, for the next one. Default false. */
	readonly keepShadow?: boolean;
}

/** Slices kept between two {@link WasmGuest.takeInterruptions}: two minutes of live work without a pause, in 512 KiB. */
const MAX_SLICES = 65_536;

/** {@link Interruptions} of a wasm guest. */
export interface WasmInterruptions extends Interruptions {
	/** Slices that were too many to be kept: only counted. */
	readonly slicesLeftOut: number;
}

/** What is started as a target. */
export interface WasmTarget {
	/** The source's size. */
	readonly pageCount: number;
	/** It may have to run while pages are missing. */
	readonly faulting: boolean;
	/** See SetUpOptions. */
	readonly prefault: boolean;
}

/** Bytes that a guest costs on this machine. */
export interface WasmGuestMemoryUse extends WorkerMemoryUse {
	/** Buffers that carry batches between worker and host. */
	readonly batchBufferBytes: number;
	/** Memory through which missing pages come. */
	readonly inboxBytes: number;
}

/**
 * Starts a new guest in a worker of its own.
 *
 * @returns the running guest
 * @throws {GuestError} `incompatible`, `too-large`, `state` or `crashed`; WasmModuleError for a module that cannot be a
 *   guest; what the program's `start` or `initialize` threw. No worker stays behind.
 */
export async function startWasmGuest(options: StartWasmGuestOptions): Promise<WasmGuest> {
	return WasmGuest.start(options, undefined);
}

/**
 * See the head of this file. Made by {@link startWasmGuest}, or by a WasmGuestFactory as a target.
 *
 * @example
 * ```ts ignore
 * const guest = await startWasmGuest({ workers: nodeWorkers, clock: nodeClock, programUrl });
 * const answer = await guest.call({ number: 1, request: "select 1" });
 * ```
 */
export class WasmGuest implements CalledGuest, GatedGuest, StandbyGuest, ToldGuest, ThrottledGuest, DeltaGuest {
	readonly kind = "wasm";
	readonly pages: WasmGuestPages;
	readonly dirty: WasmDirtyLog;
	readonly deltas: DeltaControl;
	readonly throttle: GuestThrottle;
	readonly restored: RestoreNotice;
	/** Only of programs that declare their host access: of others it cannot be told what they touch. */
	declare readonly faulting?: FaultControl;
	/** Likewise: by accesses where there is a second WebAssembly memory, else by writes. */
	declare readonly order?: PageOrder;
	/** Only of programs whose allocator has one. */
	declare readonly balloon?: GuestBalloon;
	/** Of answers of calls, and of what the program emits. */
	readonly gate: HeldOutput;
	readonly standby: Standby;
	readonly #listeners: Set<(value: unknown) => void> = new Set();
	readonly #clock: Clock;
	readonly #worker: WorkerClient;
	readonly #calls: CallQueue;
	#faults: InboxFaults | undefined;
	#state: GuestState | undefined;
	#pageCount = 0;
	#status: "running" | "pausing" | "paused" | "gone" = "running";
	#pausing: Promise<void> | undefined;
	#slicesMs: number[] = [];
	#slicesLeftOut = 0;
	#pauseWaitMs = 0;

	private constructor({ workers, clock }: StartWasmGuestOptions) {
		this.#clock = clock;
		this.#worker = new WorkerClient(workers.start("wasm-guest"), {
			onCallSettled: (message) => {
				this.#note({ pageCount: message.pageCount, slicesMs: [] });
				const { deliver, drop } = this.#calls.settle(message);
				this.gate.emit(estimateBytes(message), deliver, drop);
			},
			onOutput: (value) =>
				this.gate.emit(
					estimateBytes(value),
					() => {
						for (const listener of this.#listeners) listener(value);
					},
					() => undefined,
				),
			onReport: (report) => this.#note(report),
			onFaultMessage: (message) => this.#faults?.hear(message),
			onEnd: (error) => this.#crash(error),
		});
		this.#calls = new CallQueue({
			takeId: () => this.#worker.takeId(),
			sendCall: (id, request) => this.#worker.post({ kind: "call", id, request }),
			cancelCall: (id) => this.#worker.post({ kind: "cancel-call", id }),
		});
		this.pages = new WasmGuestPages(
			this.#worker,
			() => this.#pageCount,
			() => this.#status === "paused",
		);
		this.deltas = new WasmDeltas(this.#worker, this.pages);
		this.dirty = new WasmDirtyLog(this.#worker);
		this.throttle = { limit: (share) => this.#throttle(share) };
		this.gate = new HeldOutput({
			isPaused: () => this.#status === "paused",
			onFull: (full) => this.#calls.limit(full),
		});
		this.standby = {
			apply: async (checkpoint) => {
				await this.#worker.run({ name: "apply-checkpoint", checkpoint });
				this.#note({ pageCount: checkpoint.pageCount, slicesMs: [] });
			},
			settle: async () => void (await this.#worker.run({ name: "settle-checkpoint" })),
		};
		this.restored = { tell: async (facts) => (await this.#worker.run({ name: "tell", facts })).isTold };
	}

	/** For {@link startWasmGuest} and the factory. */
	static async start(
		options: StartWasmGuestOptions,
		target: WasmTarget | undefined,
		signal?: AbortSignal,
	): Promise<WasmGuest> {
		signal?.throwIfAborted();
		const { programUrl, moduleBytes, sliceMs = DEFAULT_SLICE_MS, keepShadow = false, tracker = "scan" } = options;
		if (!(sliceMs > 0)) throw new RangeError(`sliceMs must be above 0, got ${sliceMs}`);
		const guest = new WasmGuest(options);
		const onAbort = (): void => guest.#end(signal?.reason, "gone");
		signal?.addEventListener("abort", onAbort, { once: true });
		try {
			const hash = moduleBytes && (await moduleFact(moduleBytes)).hash;
			const order: StartOrder = {
				...{ programUrl, moduleBytes, sliceMs, keepShadow, tracker },
				targetPageCount: target?.pageCount,
				faulting: target?.faulting ?? false,
				prefault: target?.prefault ?? true,
				compiled: hash === undefined ? undefined : recallCode(hash),
			};
			const facts = await guest.#worker.request({ kind: "start", ...order });
			guest.#state = new WasmGuestState(guest.#worker, facts, () => guest.#pageCount);
			guest.dirty.tracker = facts.tracker === "scan" ? "scan" : "barrier";
			keepCode(facts.module.hash, facts.compiled);
			if (facts.program.hostAccess === "declared") guest.#declareFaults();
			else
				Object.defineProperty(guest, "faultingObstacle", {
					value: whyUndeclared(facts.program.name, facts.compiled.layout),
				});
			if (target?.faulting) guest.#faults?.prepare();
			if (facts.ballooning)
				Object.defineProperty(guest, "balloon", { value: new WasmBalloon(guest.#worker), enumerable: true });
			if (target !== undefined) {
				guest.#status = "paused";
				guest.#calls.hold();
			}
			return guest;
		} catch (error) {
			guest.#end(
				error instanceof Error ? error : new GuestError("gone", `the start failed: ${String(error)}`, error),
				"gone",
			);
			await guest.#worker.terminate();
			throw error;
		} finally {
			signal?.removeEventListener("abort", onAbort);
		}
	}

	#declareFaults(): void {
		this.#faults = new InboxFaults(
			faultedWorker(this.#worker),
			() => this.#pageCount,
			() => this.#clock.now(),
		);
		Object.defineProperty(this, "faulting", { value: this.#faults, enumerable: true });
		const order = new WasmPageOrder(this.#worker, supportsInstrumentation() ? "accesses" : "writes");
		Object.defineProperty(this, "order", { value: order, enumerable: true });
	}

	get state(): GuestState {
		return this.#state!;
	}

	/** Calls without an answer yet, those that wait for a pause to end included. */
	get pendingCalls(): number {
		return this.#calls.pending;
	}

	/**
	 * Sends a request to the program. Calls are answered in order, one at a time; while the guest is paused they wait.
	 *
	 * @param request - anything structured cloning carries
	 * @throws {ProgramError} when the program threw or trapped; the guest stays usable
	 * @throws {CallError} `moved` or `gone` when this guest will not answer any more
	 * @throws {GuestError} `crashed` when the worker ended; the call may or may not have been executed
	 * @throws the signal's reason; the call may still be executed if it had started
	 */
	call(request: unknown, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
		return this.#calls.call(request, options.signal);
	}

	/**
	 * Hears what the program emits, in order with the answers of calls, from now on.
	 * @returns what ends it
	 */
	outputs(listener: (value: unknown) => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/**
	 * Rejects the calls that wait here with {@link CallError} `moved`, and every later one until the guest runs on here. For a
	 * guest that runs elsewhere already, while this copy is kept for its pages alone: post-copy after its switch, as
	 * `onProgress` says by the phase `paging`. A guest that is discarded does it by itself.
	 * @throws {GuestError} `not-paused`
	 */
	turnCallsAway(): void {
		if (this.#status !== "paused") throw new GuestError("not-paused", "the guest runs here");
		this.#calls.turnAway(callErrorAfterDiscard(true));
	}

	pause(options: PauseOptions): Promise<void> {
		if (this.#pausing !== undefined) return this.#pausing;
		if (this.#worker.ended !== undefined) return Promise.reject(this.#worker.ended);
		if (this.#status === "paused") return Promise.resolve();
		this.#pausing = this.#pause(options).finally(() => {
			this.#pausing = undefined;
		});
		return this.#pausing;
	}

	async #pause(options: PauseOptions): Promise<void> {
		options.signal?.throwIfAborted();
		this.#status = "pausing";
		this.#calls.hold();
		try {
			const reached = this.#worker.request({ kind: "pause" });
			const waitedMs = await reachPause(reached, this.#clock, options, "no call boundary");
			this.#status = "paused";
			this.#pauseWaitMs = Math.max(this.#pauseWaitMs, waitedMs);
		} catch (error) {
			// A pause point that is reached late is undone: the worker sees both messages in this order.
			if (this.#worker.ended === undefined) {
				this.#worker.request({ kind: "resume" }).catch(() => undefined); // whoever calls next sees it
				this.#status = "running";
				this.#calls.release();
			}
			throw error;
		}
	}

	async resume(): Promise<void> {
		if (this.#worker.ended !== undefined) throw this.#worker.ended;
		if (this.#status === "running") return;
		await this.#worker.request({ kind: "resume" });
		this.#status = "running";
		this.#calls.release();
	}

	async discard(): Promise<void> {
		if (this.#status === "gone") return;
		this.#end(new GuestError("gone", "the guest has been discarded"), "gone");
		await this.#worker.terminate();
	}

	takeInterruptions(): WasmInterruptions {
		const taken: WasmInterruptions = {
			slicesMs: this.#slicesMs,
			pauseWaitMs: this.#pauseWaitMs,
			slicesLeftOut: this.#slicesLeftOut,
		};
		this.#slicesMs = [];
		this.#slicesLeftOut = 0;
		this.#pauseWaitMs = 0;
		return taken;
	}

	/**
	 * Allocates and touches what a move out of here will need (shadow, encoders, buffers) and warms the kernels. Runs in
	 * slices while the guest runs. What it allocates stays until the last dirty cursor is closed.
	 *
	 * @throws {GuestError} `too-large` without memory, `gone`
	 */
	async prepare(): Promise<void> {
		this.pages.buffers.prepare(PREPARED_BUFFERS);
		await this.#worker.run({ name: "prepare" });
	}

	/** What a verified barrier has found; undefined for other trackers. */
	async barrierReport(): Promise<BarrierReport | undefined> {
		return (await this.#worker.run({ name: "barrier-report" })).report;
	}

	/** What the guest costs now. */
	async memoryUse(): Promise<WasmGuestMemoryUse> {
		const use = await this.#worker.run({ name: "memory-use" });
		return { ...use, batchBufferBytes: this.pages.buffers.heldBytes, inboxBytes: this.#faults?.heldBytes ?? 0 };
	}

	async #throttle(share: number): Promise<void> {
		if (!(share > 0 && share <= 1)) throw new RangeError(`share: must be above 0 and at most 1, got ${share}`);
		await this.#worker.run({ name: "throttle", share });
	}

	#note({ pageCount, slicesMs }: WorkReport): void {
		this.#pageCount = Math.max(this.#pageCount, pageCount);
		for (const sliceMs of slicesMs)
			if (this.#slicesMs.length < MAX_SLICES) this.#slicesMs.push(sliceMs);
			else this.#slicesLeftOut++;
	}

	#crash(cause: unknown): void {
		if (this.#status === "gone") return;
		const reason = cause instanceof Error ? cause.message : String(cause ?? "it ended by itself");
		this.#end(new GuestError("crashed", `the guest's worker failed: ${reason}`, cause), "crashed");
		// It may have failed without ending: what cannot be talked to must not run on.
		void this.#worker.terminate();
	}

	#end(error: Error, how: "gone" | "crashed"): void {
		const callError = how === "crashed" ? error : callErrorAfterDiscard(this.#status === "paused");
		this.#status = "gone";
		this.#worker.end(error);
		this.#faults?.fail(error);
		this.#calls.end(callError);
	}
}
