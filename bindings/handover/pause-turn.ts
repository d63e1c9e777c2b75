/**
 * Who may hold a guest paused: one operation at a time. A history beside a move must not let the guest run on that the move
 * has paused for good, nor capture it while it is nobody's.
 *
 *   free ── holdPaused ──▶ held, guest paused ── resume ──▶ free, guest runs
 *                             │   └───────────── giveUp ──▶ free: the guest is discarded, or stays paused for its caller
 *                             └─ others wait for their turn
 *
 * Invariant: while a hold lasts nobody else pauses or resumes the guest, as long as every operation does so through this
 * file. A move that is `unconfirmed`, or whose pages the target still needs, keeps its hold: whoever waits then is told so
 * when their time is up.
 */
import type { Clock } from "../ports/clock.ts";
import { type Guest, GuestError, type PauseOptions } from "../ports/guest.ts";
import { withDeadline } from "./phases.ts";

/** A guest that is paused for one operation. What is called after the hold has ended does nothing. */
export interface PauseHold {
	/** Whose it is: `a move`, `a snapshot`. */
	readonly operation: string;
	/** Lets the guest run on and ends the hold. */
	resume(): Promise<void>;
	/** Ends the hold; the guest stays as it is: given up, or paused for the caller. */
	giveUp(): void;
}

/** The operation of a move's holds, by which what settles a move later finds them. */
export const MOVE = "a move";

interface Hold extends PauseHold {
	readonly ended: Promise<void>;
}

const holds = new WeakMap<Guest, Hold>();

/** What {@link holdPaused} takes beside the guest's own deadline. */
export interface HoldOptions extends PauseOptions {
	readonly operation: string;
	readonly clock: Clock;
	/** Longest wait for another operation's hold, in ms: without a limit if left out. */
	readonly turnMs?: number;
}

/**
 * Waits for its turn, then pauses the guest.
 * @throws {GuestError} `pause-deadline` when another operation holds it for too long, or the guest reaches no pause point;
 *   `gone` when the guest was given up meanwhile. The signal's reason.
 */
export async function holdPaused(guest: Guest, options: HoldOptions): Promise<PauseHold> {
	const { operation, clock, turnMs, signal } = options;
	const startedMs = clock.now();
	for (let other = holds.get(guest); other !== undefined; other = holds.get(guest)) {
		const waitMs = turnMs === undefined ? undefined : Math.max(0, startedMs + turnMs - clock.now());
		await waitForTurn(other, clock, waitMs, signal);
	}
	signal?.throwIfAborted();
	const hold = createHold(guest, operation);
	holds.set(guest, hold);
	try {
		await guest.pause(options);
		return hold;
	} catch (error) {
		hold.giveUp();
		throw error;
	}
}

/** The hold that there is on a guest, whoever has it. */
export function pauseHoldOf(guest: Guest): PauseHold | undefined {
	return holds.get(guest);
}

function createHold(guest: Guest, operation: string): Hold {
	let end: () => void = () => undefined;
	const ended = new Promise<void>((resolve) => {
		end = resolve;
	});
	const hold: Hold = {
		operation,
		ended,
		async resume() {
			if (holds.get(guest) !== hold) return;
			try {
				await guest.resume();
			} finally {
				hold.giveUp();
			}
		},
		giveUp() {
			if (holds.get(guest) === hold) holds.delete(guest);
			end();
		},
	};
	return hold;
}

async function waitForTurn(
	other: Hold,
	clock: Clock,
	waitMs: number | undefined,
	signal: AbortSignal | undefined,
): Promise<void> {
	const late = new GuestError(
		"pause-deadline",
		`${other.operation} holds the guest paused, for more than ${waitMs} ms`,
	);
	await withDeadline(clock, { cancel: signal }, async (stop) => {
		if (waitMs === undefined) return other.ended;
		const timeIsUp = clock.sleep(waitMs, stop).then(() => {
			throw late;
		});
		timeIsUp.catch(() => undefined); // it loses the race whenever the hold ends first
		return Promise.race([other.ended, timeIsUp]);
	});
}

/** Lets a guest run on whose move is settled: it is here. */
export async function resumeAfterMove(guest: Guest): Promise<void> {
	const hold = holds.get(guest);
	if (hold?.operation === MOVE) await hold.resume();
	else if (hold === undefined) await guest.resume();
}

/** Ends the hold of a move that is settled: the guest is given up, or stays paused for its caller. */
export function endMoveHold(guest: Guest): void {
	const hold = holds.get(guest);
	if (hold?.operation === MOVE) hold.giveUp();
}
