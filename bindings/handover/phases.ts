/**
 * Runs the phases of a move one after another: each under its deadline, each ended at once by the caller's signal or by
 * the peer's failure. Work that is abandoned may still settle later; its result is ignored.
 */
import type { Clock } from "../ports/clock.ts";
import { GuestError } from "../ports/guest.ts";
import { LeaseError } from "../ports/lease.ts";
import { LinkError } from "../ports/link.ts";
import { StoreError } from "../ports/store.ts";
import { MoveError, type MovePhase } from "./move-error.ts";

/** Deadlines in ms. `live` and `final-round` are bounded by progress instead: `stall` is the longest wait of one send. */
export interface Deadlines {
	readonly handshakeMs: number;
	readonly setUpMs: number;
	readonly pauseMs: number;
	readonly stateMs: number;
	readonly verifyMs: number;
	readonly releaseMs: number;
	readonly confirmMs: number;
	readonly stallMs: number;
}

/** What {@link Deadlines} are unless the caller says otherwise. */
export const DEFAULT_DEADLINES: Deadlines = {
	handshakeMs: 10_000,
	setUpMs: 60_000, // the target allocates and touches all memory: 0.35 GB/s on some machines
	pauseMs: 5_000,
	stateMs: 10_000,
	verifyMs: 30_000,
	releaseMs: 10_000,
	confirmMs: 10_000,
	stallMs: 10_000,
};

/** From here on a move can no longer be cancelled: the guest belongs to the target, or nobody knows. */
const AFTER_GO: ReadonlySet<MovePhase> = new Set(["go", "confirm", "paging"]);

/** See the head of this file. One per move. */
export class Phases {
	readonly #clock: Clock;
	readonly #cancel: AbortSignal | undefined;
	readonly #peer: AbortSignal;
	readonly #onPhase: (phase: MovePhase) => void;
	#current: MovePhase = "check";

	/**
	 * @param cancel - the caller's signal; ignored from `go` on.
	 * @param peer - aborts, with a {@link MoveError} or {@link LinkError} as reason, when the conversation has failed.
	 */
	constructor(clock: Clock, cancel: AbortSignal | undefined, peer: AbortSignal, onPhase: (phase: MovePhase) => void) {
		this.#clock = clock;
		this.#cancel = cancel;
		this.#peer = peer;
		this.#onPhase = onPhase;
	}

	/** The phase under way, or the one that failed. */
	get current(): MovePhase {
		return this.#current;
	}

	/**
	 * Runs `work` as this phase.
	 * @param deadlineMs - `undefined`: no deadline of its own.
	 * @throws {MoveError} whatever went wrong, with the phase.
	 */
	async run<T>(
		phase: MovePhase,
		deadlineMs: number | undefined,
		work: (signal: AbortSignal) => Promise<T>,
	): Promise<T> {
		this.#current = phase;
		this.#onPhase(phase);
		const cancel = AFTER_GO.has(phase) ? undefined : this.#cancel;
		try {
			return await withDeadline(this.#clock, { deadlineMs, cancel, peer: this.#peer }, work);
		} catch (error) {
			throw toMoveError(error, phase, this.#cancel);
		}
	}
}

/** The reason with which {@link withDeadline} ends what took too long. */
export class DeadlineError extends Error {
	override readonly name = "DeadlineError";
}

/** Releases what waited beside work that has settled; nobody sees it. Made once: an abort without a reason makes an exception with a stack, 40 µs a send. */
const SETTLED: DeadlineError = new DeadlineError("the work has settled");

/** What may end work early. */
export interface Limits {
	readonly deadlineMs?: number | undefined;
	/** Ends the work at once. */
	readonly cancel?: AbortSignal | undefined;
	/**
	 * Ends the work one turn later: a peer that says its last word and closes has said it, and work that only has to
	 * take that word from the inbox must win.
	 */
	readonly peer?: AbortSignal | undefined;
}

/**
 * Runs `work` until it settles, a signal aborts, or the deadline passes, whichever is first. The signal that `work` gets
 * aborts in each of these cases, so that nothing it started outlives it.
 */
export async function withDeadline<T>(
	clock: Clock,
	limits: Limits,
	work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
	const stop = new AbortController();
	const unsubscribe: (() => void)[] = [];
	const subscribe = (signal: AbortSignal | undefined, listener: (reason: unknown) => void): void => {
		if (signal === undefined) return;
		const call = (): void => listener(signal.reason);
		if (signal.aborted) {
			call();
			return;
		}
		signal.addEventListener("abort", call);
		unsubscribe.push(() => signal.removeEventListener("abort", call));
	};
	const ignoreRelease = (): undefined => undefined; // a sleep that was released because the work settled
	const stopped = new Promise<never>((_, reject) => subscribe(stop.signal, reject));
	stopped.catch(ignoreRelease); // it loses the race whenever the work settles first
	subscribe(limits.cancel, (reason) => stop.abort(reason));
	subscribe(limits.peer, (reason) => {
		clock.sleep(0, stop.signal).then(() => stop.abort(reason), ignoreRelease);
	});
	const { deadlineMs } = limits;
	if (deadlineMs !== undefined)
		clock
			.sleep(deadlineMs, stop.signal)
			.then(() => stop.abort(new DeadlineError(`not done within ${deadlineMs} ms`)), ignoreRelease);
	try {
		return stop.signal.aborted ? await stopped : await Promise.race([work(stop.signal), stopped]);
	} finally {
		for (const remove of unsubscribe) remove();
		stop.abort(SETTLED);
	}
}

/** Puts any failure of a phase into the words of a move. */
export function toMoveError(error: unknown, phase: MovePhase | undefined, cancel: AbortSignal | undefined): MoveError {
	if (error instanceof MoveError)
		return error.phase === undefined
			? new MoveError(error.code, error.message, { phase, pageIndex: error.pageIndex, cause: error.cause })
			: error;
	const during = phase === undefined ? "" : ` during ${phase}`;
	const words = error instanceof Error ? error.message : String(error);
	const details = { phase, cause: error };
	if (error instanceof DeadlineError) return new MoveError("deadline", `the move was ${words}${during}`, details);
	if (error instanceof GuestError && error.code === "pause-deadline")
		return new MoveError("guest", `the guest reached no pause point${during}: ${words}`, details);
	if (cancel?.aborted && (error === cancel.reason || error === undefined))
		return new MoveError("cancelled", `the caller cancelled the move${during}`, details);
	if (error instanceof LinkError)
		return new MoveError(
			error.code === "corrupt" || error.code === "unsupported-version" ? "protocol" : "link-lost",
			`${words}${during}`,
			details,
		);
	if (error instanceof StoreError)
		return new MoveError("store", `the move could not be recorded${during}: ${words}`, details);
	if (error instanceof LeaseError)
		return new MoveError("lease", `the lease could not be asked${during}: ${words}`, details);
	return new MoveError("guest", `the guest failed${during}: ${words}`, details);
}
