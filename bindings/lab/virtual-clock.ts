/**
 * A clock that stands still while the program works and jumps when it waits: hours pass in milliseconds, and the same
 * program does the same things at the same times in every run.
 *
 *   run(main):  let everything that is ready run (one turn of the event loop drains all promises)
 *               → wake the earliest sleeper, and only that one → again, until main settles
 *
 * Sleepers of one instant wake in the order in which they went to sleep, each with all its consequences before the next:
 * so one may still call off another. Only waits through this clock pass; code that waits for real I/O, timers or workers
 * does not belong under it.
 */
import type { Clock } from "../ports/clock.ts";

/** Turns without anything to do before the program counts as stuck: a WebAssembly module being compiled takes a few. */
const PATIENCE_TURNS = 50;

const TURNS_AT_ONCE = 32;

/** Nothing is scheduled and the program has not finished: what it waits for can never come. */
export class DeadlockError extends Error {
	override readonly name = "DeadlockError";
	/** Virtual time at which everything stood still. */
	readonly atMs: number;
	constructor(atMs: number) {
		super(`virtual time stands still at ${atMs} ms: the program waits, and nothing is scheduled that could wake it`);
		this.atMs = atMs;
	}
}

/** Something that will happen. */
export interface Scheduled {
	/** Calls it off; too late is no error. */
	cancel(): void;
}

/** A clock on which things can be made to happen: the virtual one, or a host's view of it (`faults/host-clock.ts`). */
export interface EventClock extends Clock {
	/** Calls `action` in `durationMs` virtual milliseconds; never, if that is Infinity. */
	schedule(durationMs: number, action: () => void): Scheduled;
}

/** How a {@link VirtualClock} starts. */
export interface VirtualClockOptions {
	/** Virtual time at the start, in ms. */
	readonly startMs?: number;
	/** Called after each event, when all its consequences of that instant are there: for a referee. What it throws ends the run. */
	readonly afterEvent?: () => void;
}

interface Entry extends Scheduled {
	readonly atMs: number;
	readonly order: number;
	readonly action: () => void;
	/** Index in the heap; −1 once it is out. */
	place: number;
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts
 * import { systemClock } from "../platform/system-clock.ts";
 * import { VirtualClock } from "./virtual-clock.ts";
 * const clock = new VirtualClock(systemClock);
 * const elapsedMs = await clock.run(async () => {
 * 	await clock.sleep(3_600_000);
 * 	return clock.now();
 * }); // 3600000, at once
 * ```
 */
export class VirtualClock implements EventClock {
	readonly #real: Pick<Clock, "sleep">;
	readonly #heap: Entry[] = [];
	readonly #afterEvent: (() => void) | undefined;
	#nowMs: number;
	#order = 0;
	#running = false;

	/**
	 * @param real - a real clock, whose `sleep(0)` must be a whole turn of the event loop: it is what drains all promises.
	 *   (A message channel would not do: Deno delivers its messages while promises still wait.)
	 */
	constructor(real: Pick<Clock, "sleep">, options: VirtualClockOptions = {}) {
		this.#real = real;
		this.#nowMs = options.startMs ?? 0;
		this.#afterEvent = options.afterEvent;
	}

	now(): number {
		return this.#nowMs;
	}

	/** How many things are scheduled: 0 after an operation that has released all it took. */
	get pending(): number {
		return this.#heap.length;
	}

	/** See {@link Clock.sleep}. Infinity sleeps until the signal aborts. */
	sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
		checkDuration(durationMs);
		if (signal?.aborted) return Promise.reject(signal.reason);
		return new Promise((resolve, reject) => {
			const scheduled = this.schedule(durationMs, () => {
				signal?.removeEventListener("abort", onAbort);
				resolve();
			});
			const onAbort = () => {
				scheduled.cancel();
				reject(signal?.reason);
			};
			signal?.addEventListener("abort", onAbort, { once: true });
		});
	}

	/** Calls `action` in `durationMs` virtual milliseconds; never, if that is Infinity. */
	schedule(durationMs: number, action: () => void): Scheduled {
		checkDuration(durationMs);
		const entry: Entry = {
			atMs: this.#nowMs + durationMs,
			order: this.#order++,
			action,
			place: -1,
			cancel: () => this.#remove(entry),
		};
		if (durationMs !== Number.POSITIVE_INFINITY) this.#insert(entry);
		return entry;
	}

	/**
	 * Runs a program in virtual time. What it leaves scheduled stays so, and passes in a later run.
	 * @throws {DeadlockError}; whatever `main` throws; TypeError for a run inside a run.
	 */
	async run<Value>(main: () => Promise<Value>): Promise<Value> {
		if (this.#running) throw new TypeError("run: this clock is already running a program");
		this.#running = true;
		try {
			let settled = false;
			const outcome = main().finally(() => {
				settled = true;
			});
			outcome.catch(() => undefined); // awaited below, or given up with a deadlock
			for (let idleTurns = 0, turns: Promise<void>[] = []; ; ) {
				// Asked for at once: each is still followed by all promises before the next comes, and the loop polls once for all.
				if (turns.length === 0)
					turns = Array.from({ length: idleTurns > 0 ? 1 : TURNS_AT_ONCE }, () => this.#real.sleep(0));
				await turns.shift();
				this.#afterEvent?.();
				if (settled) return await outcome;
				if (this.#step()) idleTurns = 0;
				else if (++idleTurns > PATIENCE_TURNS) throw new DeadlockError(this.#nowMs);
			}
		} finally {
			this.#running = false;
		}
	}

	/** Wakes the earliest. @returns whether there was one. */
	#step(): boolean {
		const next = this.#heap[0];
		if (next === undefined) return false;
		this.#remove(next);
		this.#nowMs = Math.max(this.#nowMs, next.atMs);
		next.action();
		return true;
	}

	#insert(entry: Entry): void {
		this.#heap.push(entry);
		this.#rise(entry, this.#heap.length - 1);
	}

	#remove(entry: Entry): void {
		const place = entry.place;
		if (place < 0) return;
		entry.place = -1;
		const last = this.#heap.pop()!;
		if (last === entry) return;
		this.#rise(last, place);
		this.#sink(last, last.place);
	}

	#rise(entry: Entry, start: number): void {
		let place = start;
		while (place > 0) {
			const parent = this.#heap[(place - 1) >> 1]!;
			if (comesBefore(parent, entry)) break;
			this.#put(parent, place);
			place = (place - 1) >> 1;
		}
		this.#put(entry, place);
	}

	#sink(entry: Entry, start: number): void {
		let place = start;
		for (;;) {
			let child = this.#heap[2 * place + 1];
			if (child === undefined) break;
			const right = this.#heap[2 * place + 2];
			if (right !== undefined && comesBefore(right, child)) child = right;
			if (comesBefore(entry, child)) break;
			const next = child.place;
			this.#put(child, place);
			place = next;
		}
		this.#put(entry, place);
	}

	#put(entry: Entry, place: number): void {
		this.#heap[place] = entry;
		entry.place = place;
	}
}

function comesBefore(a: Entry, b: Entry): boolean {
	return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function checkDuration(durationMs: number): void {
	if (Number.isNaN(durationMs) || durationMs < 0) throw new RangeError("durationMs must be 0 or more");
}
