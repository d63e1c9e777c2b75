/**
 * Asks a target whether it would take a guest, before anything starts: kind, page size, limits, facts, and the code it
 * lacks. Neither side changes; the guest runs on.
 */
import { Conversation } from "../handover/conversation.ts";
import { DEFAULT_DEADLINES, toMoveError, withDeadline } from "../handover/phases.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Link } from "../ports/link.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";

/** What a target says of a guest. */
export type CheckResult =
	/** It would take it. */
	| { readonly outcome: "possible"; readonly missingBytes: number }
	/** It would not: the message names every obstacle. */
	| { readonly outcome: "refused"; readonly message: string };

/** What a check works with. */
export interface CheckServices {
	readonly guest: Guest;
	/** An open link to a target that runs {@link receiveGuest}; closed afterwards. */
	readonly link: Link;
	readonly clock: Clock;
}

/**
 * Asks over a link of its own.
 *
 * @returns what the target says.
 * @throws {MoveError} when it cannot be asked: `link-lost`, `deadline`, `protocol`, `cancelled`.
 *
 * @example
 * ```ts ignore
 * const answer = await checkMove({ guest, link, clock });
 * if (answer.outcome === "refused") console.error(answer.message);
 * ```
 */
export async function checkMove(
	services: CheckServices,
	options: {
		readonly signal?: AbortSignal;
		readonly deadlineMs?: number;
		/** Ask for a target that can run while pages are missing: post-copy and hybrid need one. */
		readonly faulting?: boolean;
	} = {},
): Promise<CheckResult> {
	const { guest, link, clock } = services;
	const { signal, deadlineMs = DEFAULT_DEADLINES.handshakeMs, faulting } = options;
	const layout = guest.state.layout();
	const conversation = new Conversation(link);
	try {
		const limits = { deadlineMs, cancel: signal, peer: conversation.failed };
		const { missing } = await withDeadline(clock, limits, async (stop) => {
			await conversation.send({
				type: "hello",
				protocol: PROTOCOL_VERSIONS,
				windowBytes: link.windowBytes,
				intent: "check",
				moveId: "check",
				technique: "check",
				verification: "transport",
				...(faulting === undefined ? {} : { faulting }),
				layout,
			});
			return conversation.expect("welcome", stop);
		});
		const lacking = layout.resources.filter(({ hash }) => missing.includes(hash));
		return { outcome: "possible", missingBytes: lacking.reduce((sum, { byteLength }) => sum + byteLength, 0) };
	} catch (error) {
		const failure = toMoveError(error, "check", signal);
		if (failure.code === "refused") return { outcome: "refused", message: failure.message };
		throw failure;
	} finally {
		link.abort(undefined);
	}
}
