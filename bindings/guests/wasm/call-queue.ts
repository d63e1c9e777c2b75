// Calls on their way to the program: first come, first served, at most CALL_WINDOW of them in the worker, the rest here,
// where a pause holds them and a move can send them elsewhere.
import { messageOf } from "../error-record.ts";
import { CallError, programErrorOf } from "./errors.ts";
import type { WorkerMessage } from "./protocol.ts";

/**
 * Calls that the worker may have at a time. Enough that it never waits for the next one; few, because what is in the worker
 * can no longer be cancelled from here without asking.
 */
const CALL_WINDOW = 8;

/** Where calls go. */
export interface CallCarrier {
	takeId(): number;
	/** @throws what cloning the request throws */
	sendCall(id: number, request: unknown): void;
	cancelCall(id: number): void;
}

interface Entry {
	readonly request: unknown;
	readonly resolve: (response: unknown) => void;
	readonly reject: (error: unknown) => void;
	readonly detach: () => void;
}

/** See the head of this file. */
export class CallQueue {
	readonly #carrier: CallCarrier;
	readonly #waiting: Set<Entry> = new Set();
	readonly #sent: Map<number, Entry> = new Map();
	/** Calls that are answered, whose answer may not leave yet. */
	readonly #answered: Set<Entry> = new Set();
	#full = false;
	#held = false;
	#ended: Error | undefined;
	/** Why calls are not taken for now. */
	#away: Error | undefined;

	constructor(carrier: CallCarrier) {
		this.#carrier = carrier;
	}

	/** Calls that have no answer yet. */
	get pending(): number {
		return this.#waiting.size + this.#sent.size + this.#answered.size;
	}

	/** @throws ProgramError, CallError, GuestError `crashed`, the signal's reason, or TypeError for a request that cannot be cloned */
	call(request: unknown, signal?: AbortSignal): Promise<unknown> {
		return new Promise((resolve, reject) => {
			const refusal = this.#ended ?? this.#away;
			if (refusal !== undefined) return reject(refusal);
			if (signal?.aborted) return reject(signal.reason);
			const onAbort = (): void => this.#abort(entry, signal?.reason);
			const detach = (): void => signal?.removeEventListener("abort", onAbort);
			const entry: Entry = { request, resolve, reject, detach };
			signal?.addEventListener("abort", onAbort, { once: true });
			this.#waiting.add(entry);
			this.#send();
		});
	}

	/** Keeps calls here from now on. Those already in the worker wait there. */
	hold(): void {
		this.#held = true;
	}

	/** Undoes {@link hold}. */
	release(): void {
		this.#held = false;
		this.#away = undefined;
		this.#send();
	}

	/** Rejects every call that waits, and every later one, until {@link release}. None of them has been started. */
	turnAway(reason: Error): void {
		this.#away = reason;
		for (const entry of [...this.#waiting, ...this.#sent.values()]) this.#abort(entry, reason);
	}

	/** No call is started while output is held up to its limit. */
	limit(full: boolean): void {
		this.#full = full;
		this.#send();
	}

	/** An answer has come: its call's place in the worker is free. @returns what the caller learns, when it may */
	settle(message: Extract<WorkerMessage, { kind: "answer" | "call-failure" }>): HeldAnswer {
		const entry = this.#sent.get(message.id);
		if (entry === undefined) return { deliver: () => this.#send(), drop: () => undefined };
		this.#sent.delete(message.id);
		this.#answered.add(entry);
		const leave = (say: () => void): void => {
			if (!this.#answered.delete(entry)) return; // the end of the guest came first
			entry.detach();
			say();
		};
		this.#send();
		return {
			deliver: () =>
				leave(() => {
					if (message.kind === "answer") entry.resolve(message.response);
					else
						entry.reject(programErrorOf(message.unsendable ? { ...message.error, code: "unsendable" } : message.error));
				}),
			drop: () => leave(() => entry.reject(lostAnswer())),
		};
	}

	/** No call will be answered here any more: all reject with `reason`, now and later. */
	end(reason: Error): void {
		this.#ended ??= reason;
		const entries = [...this.#answered, ...this.#sent.values(), ...this.#waiting];
		this.#answered.clear();
		this.#sent.clear();
		this.#waiting.clear();
		for (const { reject, detach } of entries) {
			detach();
			reject(reason);
		}
	}

	#send(): void {
		while (!this.#held && !this.#full && this.#sent.size < CALL_WINDOW) {
			const [entry] = this.#waiting;
			if (entry === undefined) return;
			this.#waiting.delete(entry);
			const id = this.#carrier.takeId();
			try {
				this.#carrier.sendCall(id, entry.request);
				this.#sent.set(id, entry);
			} catch (cause) {
				entry.detach();
				entry.reject(new TypeError(`request cannot be sent to the guest: ${messageOf(cause)}`, { cause }));
			}
		}
	}

	#abort(entry: Entry, reason: unknown): void {
		entry.reject(reason);
		if (this.#waiting.delete(entry) || this.#answered.delete(entry)) return;
		// The entry stays in its slot until the worker has answered or forgotten it.
		for (const [id, sent] of this.#sent)
			if (sent === entry) {
				this.#carrier.cancelCall(id);
				return;
			}
	}
}

/** An answer that came while output was held. Exactly one of the two is called. */
export interface HeldAnswer {
	readonly deliver: () => void;
	readonly drop: () => void;
}

function lostAnswer(): CallError {
	return new CallError(
		"gone",
		"the state that answered this call is given up here: send it again to where the guest runs now",
	);
}

/** @param wasPaused whether no call was under way, so that those without an answer were never started */
export function callErrorAfterDiscard(wasPaused: boolean): CallError {
	return wasPaused
		? new CallError(
				"moved",
				"the guest has left: this call was never started here; send it to where the guest runs now",
			)
		: new CallError("gone", "the guest was discarded: this call may or may not have been executed");
}
