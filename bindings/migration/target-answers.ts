/** What a target answers: whether it would take a guest, and what became of a move. */
import type { TargetLedger } from "../handover/ledger.ts";
import type { GuestFactory } from "../ports/guest.ts";
import type { Record } from "../wire/records.ts";
import type { AnswerStatus } from "./target-options.ts";

/** The factory for such a guest, or why there is none. */
export function judge(
	factories: readonly GuestFactory[],
	{ layout, faulting = false, checkpoints }: Extract<Record, { type: "hello" }>,
): {
	readonly factory: GuestFactory | undefined;
	readonly obstacle: string;
} {
	const factory = factories.find(({ kind }) => kind === layout.kind);
	if (factory === undefined) return { factory, obstacle: `this target takes no guests of kind '${layout.kind}'` };
	const obstacle = factory
		.check(layout, { faulting, checkpointed: checkpoints !== undefined })
		.map(({ message }) => message)
		.join("; ");
	return { factory: obstacle === "" ? factory : undefined, obstacle };
}

/**
 * What this side says of a move. Whatever does not run yet is declined here and now, which voids a late *go*; a move that
 * a durable ledger has never seen is declined as well, one that a ledger in memory has never seen is `unknown`.
 */
export async function answerFromLedger(ledger: TargetLedger, moveId: string): Promise<AnswerStatus> {
	for (;;) {
		const word = await ledger.read(moveId);
		if (word === "running" || word === "declined") return word;
		if (word === undefined && !ledger.durable) return "unknown";
		if (await ledger.step(moveId, word, "declined")) return "declined";
	}
}
