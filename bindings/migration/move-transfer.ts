/** How the pages of a move travel up to the handover: live rounds, pause, final round, pages that are left. See move.ts. */
import { MoveError } from "../handover/move-error.ts";
import { holdPaused, MOVE } from "../handover/pause-turn.ts";
import { countPages, missingRecords } from "../paging/missing-record.ts";
import type { StopReason } from "../policies/convergence.ts";
import { leavingOf } from "../ports/faulting-guest.ts";
import type { PageBits } from "../ports/guest.ts";
import { isOrderedGuest } from "../ports/ordered-guest.ts";
import { checkpointInterval } from "./following-pages.ts";
import type { MoveContext } from "./move-context.ts";
import type { TransferSteps } from "./move-options.ts";
import { ServingSession } from "./serving.ts";
import { MoveThrottle } from "./throttle.ts";

/** The steps that a technique's transfer is made of. */
export function transferSteps(move: MoveContext): TransferSteps {
	return {
		iteration: move.iteration,
		get roundsLeft() {
			return move.roundsLeft;
		},
		set roundsLeft(rounds) {
			move.roundsLeft = rounds;
		},
		throttle: new MoveThrottle(move.services.guest, move.watch),
		live: (work) => runLive(move, work),
		pauseAndFinish: () => pauseAndFinish(move),
		pauseAndLeave: () => pauseAndLeave(move),
	};
}

/** Live rounds, within the total-time limit. */
async function runLive(
	move: MoveContext,
	work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>,
): Promise<StopReason> {
	const { totalTime } = move.options;
	const cancelAfterMs = totalTime?.onLimit === "cancel" ? totalTime.limitMs : undefined;
	// Live rounds that go on after a while, as those of a guest that is slowed down step by step, have what is left of it.
	const leftMs = cancelAfterMs === undefined ? undefined : Math.max(0, cancelAfterMs - move.watch.since("live"));
	try {
		return await move.phases.run("live", leftMs, async (signal) => {
			if (!move.watch.has("live")) {
				const openedMs = move.services.clock.now();
				await move.iteration.open();
				move.watch.setupMs += move.services.clock.now() - openedMs;
				move.watch.mark("live");
			}
			return work(signal, () => totalTime?.onLimit === "switch-over" && move.watch.since("live") >= totalTime.limitMs);
		});
	} catch (error) {
		if (
			error instanceof MoveError &&
			error.code === "deadline" &&
			error.phase === "live" &&
			cancelAfterMs !== undefined
		)
			throw new MoveError("total-time", `the move was not done within its limit of ${cancelAfterMs} ms`, {
				phase: "live",
				cause: error,
			});
		throw error;
	}
}

/** Pauses the guest and runs the final round. */
async function pauseAndFinish(move: MoveContext): Promise<void> {
	await pause(move);
	await move.phases.run("final-round", undefined, (signal) => move.iteration.final(signal));
	move.watch.mark("rounds-done");
}

/** Pauses the guest and leaves what is dirty, but for the pages it cannot fault on. */
async function pauseAndLeave(move: MoveContext): Promise<void> {
	const { guest } = move.services;
	await pause(move);
	await move.phases.run("final-round", move.deadlines.stateMs, async (signal) => {
		const owed = await move.iteration.left(signal);
		const pinned = (await leavingOf(guest)?.pinned()) ?? new Uint8Array(0);
		await sendPinned(move, owed, pinned, signal);
		if (countPages(owed) === 0) return;
		for (const record of missingRecords(owed, move.iteration.hashes.pageCount)) await move.conversation.send(record);
		move.serving = makeServing(move, owed, (await move.order?.recentFirst()) ?? new Uint32Array(0));
	});
	move.watch.mark("rounds-done");
}

/** Sends those of the pages that are owed which the guest cannot fault on; afterwards they are not owed. */
async function sendPinned(move: MoveContext, owed: PageBits, pinned: PageBits, signal: AbortSignal): Promise<void> {
	if (countPages(pinned) === 0) return; // most guests
	const own = owed.map((byte, i) => byte & (pinned[i] ?? 0));
	await move.iteration.finalOf(own, signal);
	for (let i = 0; i < own.length; i++) owed[i]! &= ~own[i]!;
}

function makeServing(move: MoveContext, owed: PageBits, recent: Uint32Array): ServingSession {
	const { guest, clock, lease } = move.services;
	return new ServingSession({
		...{ guest, clock, ledger: move.ledger, lease: lease?.lease, owed, recent },
		order: move.order !== undefined && isOrderedGuest(guest) ? guest.order.source : "address",
		...{ moveId: move.moveId, technique: move.technique.name, verification: move.verification },
		...{ iteration: move.iteration, watch: move.watch, deadlines: move.deadlines },
		compression: move.options.compression,
		push: move.technique.push!,
		checkpointed: checkpointInterval(move.technique.following ?? {}) !== undefined,
		room: move.servingRoom,
		bandwidthBytesPerMs: move.options.bandwidthBytesPerMs,
		report: (phase) => move.report(phase),
	});
}

async function pause(move: MoveContext): Promise<void> {
	const { guest, clock } = move.services;
	if (!move.watch.has("live")) move.watch.mark("live");
	await move.phases.run("pause", undefined, async (signal) => {
		const { pauseMs: deadlineMs } = move.deadlines;
		move.hold = await holdPaused(guest, { operation: MOVE, clock, deadlineMs, signal });
		// Called off in the last moment: this phase's failure has been dealt with already.
		if (signal.aborted) await move.hold.resume();
	});
	move.watch.mark("paused");
}
