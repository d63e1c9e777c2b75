/** The last phases of a move's source: state and digest, verification, release, go. See move.ts and docs/protocol.md. */
import { MoveError } from "../handover/move-error.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { chunks } from "./chunks.ts";
import type { MoveContext } from "./move-context.ts";

/** Sends what is not a page, and the digest of everything. */
export async function sendState(move: MoveContext): Promise<void> {
	const { guest } = move.services;
	await move.phases.run("state", move.deadlines.stateMs, async (signal) => {
		const state = await guest.state.capture();
		// At least one record, so that the target can tell an empty state from a missing one.
		for (const [offset, bytes] of chunks(state, MAX_CHUNK_BYTES))
			await move.conversation.send({ type: "state", offset, total: state.byteLength, bytes });
		// Pages that are left are compared at the end, when the frozen memory costs the guest nothing.
		if (move.verification === "full" && move.serving === undefined) await verifySource(move, signal);
		const digest = move.iteration.hashes.digest(state);
		const { pageCount } = move.iteration.hashes;
		await move.conversation.send({ type: "digest", digest, pageCount, stateByteLength: state.byteLength });
		move.serving?.prepare(move.conversation);
	});
	move.watch.mark("state-sent");
}

/** Hashes the paused memory again: a page that changed behind the tracker's back is found here, before *go*. */
async function verifySource(move: MoveContext, signal: AbortSignal): Promise<void> {
	const { pages } = move.services.guest;
	const { hashes } = move.iteration;
	const now = await pages.hashes(0, pages.pageCount);
	signal.throwIfAborted();
	const pageIndex = pages.pageCount === hashes.pageCount ? hashes.firstDifference(0, now) : hashes.pageCount;
	if (pageIndex !== undefined)
		throw new MoveError(
			"corrupt",
			`page ${pageIndex} of the paused guest is not what was sent: the dirty tracker missed a change`,
			{ pageIndex },
		);
}

/** Hands the right to run over. On return the target runs. */
export async function commit(move: MoveContext): Promise<void> {
	const { lease } = move.services;
	await move.phases.run("verify", move.deadlines.verifyMs, (signal) => move.conversation.expect("ready", signal));
	move.watch.mark("verified");
	await move.phases.run("release", move.deadlines.releaseMs, async (signal) => {
		if (!(await move.ledger.step(move.moveId, "moving", "released")))
			throw new MoveError("store", "the ledger has lost this move");
		signal.throwIfAborted();
		move.leaseGivenUp = true;
		await lease?.lease.release(lease.grant);
	});
	await move.phases.run("go", move.deadlines.stallMs, async () => {
		// A link that is known to be dead has carried no *go*: one turn lets such news arrive.
		await move.services.clock.sleep(0);
		move.conversation.failed.throwIfAborted();
		move.goSent = true;
		await move.conversation.send({ type: "go" });
	});
	await move.phases.run("confirm", move.deadlines.confirmMs, (signal) => move.conversation.expect("running", signal));
	move.watch.mark("running");
}
