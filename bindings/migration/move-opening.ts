/** The first phases of a move's source: handshake, missing code, and the target's set-up. See move.ts. */
import { MoveError } from "../handover/move-error.ts";
import { ServingRoom } from "../paging/serving-room.ts";
import { leavingOf, whyNotFaulting } from "../ports/faulting-guest.ts";
import type { GuestLayout } from "../ports/guest.ts";
import { isOrderedGuest } from "../ports/ordered-guest.ts";
import { isStandbyGuest } from "../ports/standby-guest.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import { chunks } from "./chunks.ts";
import { checkpointInterval, learningTime } from "./following-pages.ts";
import type { MoveContext } from "./move-context.ts";
import { requireThrottle } from "./throttle.ts";

/** Handshake, missing code, the target's set-up, and the ledger's first word. */
export async function openMove(move: MoveContext): Promise<void> {
	const { guest } = move.services;
	const faulting = move.technique.push !== undefined;
	if (faulting && leavingOf(guest) === undefined)
		throw new MoveError("refused", `a ${guest.kind} guest ${whyNotFaulting(guest)}; use pre-copy`);
	if (move.technique.throttles === true) requireThrottle(guest);
	const checkpoints = faulting ? checkpointInterval(move.technique.following ?? {}) : undefined;
	if (checkpoints !== undefined && !isStandbyGuest(guest))
		throw new MoveError("refused", `a ${guest.kind} guest cannot take checkpoints back: leave 'checkpoints' out`);
	const layout = guest.state.layout();
	const welcome = await move.phases.run("handshake", move.deadlines.handshakeMs, async (signal) => {
		if (!(await move.ledger.step(move.moveId, undefined, "moving")))
			throw new MoveError("store", `the move id '${move.moveId}' has been used before`);
		await move.conversation.send({
			type: "hello",
			protocol: PROTOCOL_VERSIONS,
			windowBytes: move.conversation.windowBytes,
			intent: "move",
			moveId: move.moveId,
			technique: move.technique.name,
			verification: move.verification,
			...(faulting ? { faulting } : {}),
			...(checkpoints === undefined ? {} : { checkpoints }),
			layout,
		});
		return move.conversation.expect("welcome", signal);
	});
	move.watch.setupMs = await move.phases.run("set-up", move.deadlines.setUpMs, async (signal) => {
		// What the guest uses while the target is set up is what it will want first.
		const learnt = faulting ? await learnOrder(move, signal) : undefined;
		if (move.technique.push !== undefined)
			move.servingRoom = new ServingRoom(guest.pages.pageCount, move.technique.push);
		for (const hash of welcome.missing) await sendResource(move, layout, hash);
		const { setupMs } = await move.conversation.expect("prepared", signal);
		await learnt?.();
		return setupMs;
	});
	move.pendingPages = guest.pages.pageCount;
	move.watch.mark("prepared");
}

/**
 * Begins to note which pages the guest uses, if their positions are to come from that.
 * @returns what waits until enough is known
 */
async function learnOrder(move: MoveContext, signal: AbortSignal): Promise<(() => Promise<void>) | undefined> {
	const { guest, clock } = move.services;
	const { following = {} } = move.technique;
	const { order } = following;
	if (!isOrderedGuest(guest)) {
		if (order === "lru") throw new MoveError("refused", `of a ${guest.kind} guest it is not known which pages it uses`);
		return undefined;
	}
	const { source } = guest.order;
	if (order === "address" || (order === undefined && source !== "uses")) return undefined;
	const learnMs = learningTime(following, source);
	move.order = await guest.order.open();
	const startedMs = clock.now();
	return async () => {
		const leftMs = startedMs + learnMs - clock.now();
		if (leftMs > 0) await clock.sleep(leftMs, signal);
	};
}

async function sendResource(move: MoveContext, layout: GuestLayout, hash: string): Promise<void> {
	const known = layout.resources.some((resource) => resource.hash === hash);
	const bytes = known ? await move.services.guest.state.resource(hash) : undefined;
	if (bytes === undefined)
		throw new MoveError("protocol", `the target asks for a resource that this guest does not have: ${hash}`);
	for (const [offset, chunk] of chunks(bytes, MAX_CHUNK_BYTES))
		await move.conversation.send({ type: "resource", hash, offset, total: bytes.byteLength, bytes: chunk });
}
