/**
 * A host's view of virtual time, with what can happen to a host's time: it stands still for the host while it is frozen,
 * leaps ahead when its clock is set, and ends when the host crashes.
 *
 *   up ── freeze ──▶ frozen: what falls due is held ── thaw ──▶ up: what was held happens, one after another
 *    └─ stop ─▶ stopped: nothing happens any more
 */
import type { EventClock, Scheduled } from "../virtual-clock.ts";

interface Entry {
	readonly dueMs: number;
	readonly action: () => void;
	scheduled: Scheduled;
}

/** See the head of this file. Each host has an origin of its own, as monotonic clocks of two machines have. */
export class HostClock implements EventClock {
	readonly #world: EventClock;
	readonly #entries = new Set<Entry>();
	#offsetMs: number;
	#held: Entry[] = [];
	#frozen = false;
	#stopped = false;

	constructor(world: EventClock, originMs: number) {
		this.#world = world;
		this.#offsetMs = originMs - world.now();
	}

	now(): number {
		return this.#world.now() + this.#offsetMs;
	}

	sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
		if (signal?.aborted) return Promise.reject(signal.reason);
		return new Promise((resolve, reject) => {
			const onAbort = (): void => {
				scheduled.cancel();
				reject(signal?.reason);
			};
			const scheduled = this.schedule(durationMs, () => {
				signal?.removeEventListener("abort", onAbort);
				resolve();
			});
			signal?.addEventListener("abort", onAbort, { once: true });
		});
	}

	schedule(durationMs: number, action: () => void): Scheduled {
		const dueMs = this.now() + durationMs;
		const entry: Entry = { dueMs, action, scheduled: { cancel: () => undefined } };
		if (this.#stopped) return entry.scheduled;
		this.#entries.add(entry);
		entry.scheduled = this.#world.schedule(durationMs, () => this.#onDue(entry));
		return { cancel: () => this.#cancel(entry) };
	}

	freeze(): void {
		this.#frozen = true;
	}

	thaw(): void {
		this.#frozen = false;
		for (const entry of this.#held.splice(0)) entry.scheduled = this.#world.schedule(0, () => this.#onDue(entry));
	}

	stop(): void {
		this.#stopped = true;
		for (const entry of this.#entries) entry.scheduled.cancel();
		this.#entries.clear();
		this.#held = [];
	}

	/** Sets the clock ahead: what was to happen until then is due now. */
	jump(byMs: number): void {
		this.#offsetMs += byMs;
		for (const entry of this.#entries) {
			if (this.#held.includes(entry)) continue;
			entry.scheduled.cancel();
			entry.scheduled = this.#world.schedule(Math.max(0, entry.dueMs - this.now()), () => this.#onDue(entry));
		}
	}

	#onDue(entry: Entry): void {
		if (this.#frozen) {
			this.#held.push(entry);
			return;
		}
		this.#entries.delete(entry);
		entry.action();
	}

	#cancel(entry: Entry): void {
		entry.scheduled.cancel();
		this.#entries.delete(entry);
		if (this.#held.length > 0) this.#held = this.#held.filter((other) => other !== entry);
	}
}
