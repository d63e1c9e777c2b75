/**
 * Questions to the keeper of a lease, each with a deadline: a keeper that never answers is one that cannot be asked.
 *
 * What was asked may still be done later, so that nothing is taken for undone: a grant that comes too late is given back, and
 * who has asked to give a grant up trusts it no more, whatever renewals say ({@link takeAgain}).
 */
import type { Clock } from "../ports/clock.ts";
import { type Lease, LeaseError, type LeaseGrant } from "../ports/lease.ts";
import { DeadlineError, withDeadline } from "./phases.ts";

/** How long a keeper may take to answer unless the caller says otherwise, in ms. */
export const LEASE_ANSWER_MS = 10_000;

/** What asking works with. */
export interface LeaseAsking {
	readonly lease: Lease;
	readonly clock: Clock;
	/** Per question, in ms. */
	readonly answerMs: number;
}

/**
 * @returns the keeper's answer
 * @throws {LeaseError} `unavailable` when it did not come in time; whatever `ask` throws.
 */
async function askLease<Answer>(
	{ clock, answerMs }: LeaseAsking,
	ask: () => Promise<Answer>,
	onLate: (answer: Answer) => void = () => undefined,
): Promise<Answer> {
	let isLate = false;
	const unanswered = new LeaseError("unavailable", `the lease's keeper has not answered within ${answerMs} ms`);
	return withDeadline(clock, { deadlineMs: answerMs }, async () => {
		const answer = await ask();
		if (isLate) onLate(answer);
		return answer;
	}).catch((error: unknown) => {
		isLate = true;
		throw error instanceof DeadlineError ? unanswered : error;
	});
}

/** {@link Lease.acquire} in time; a grant that comes later is given back. */
export function acquireLease(asking: LeaseAsking): Promise<LeaseGrant | undefined> {
	const { lease } = asking;
	return askLease(
		asking,
		() => lease.acquire(),
		(grant) => {
			if (grant !== undefined) lease.release(grant).catch(() => undefined); // it expires
		},
	);
}

/** {@link Lease.renew} in time. */
export function renewLease(asking: LeaseAsking, grant: LeaseGrant): Promise<LeaseGrant | undefined> {
	return askLease(asking, () => asking.lease.renew(grant));
}

/** {@link Lease.release}, whether or not an answer comes: what is not given up expires. */
export async function releaseLease(asking: LeaseAsking, grant: LeaseGrant): Promise<void> {
	await askLease(asking, () => asking.lease.release(grant)).catch(() => undefined); // it expires
}

/**
 * Takes the lease under a new token after it was to be given up: the old grant could still end at any moment, by a request
 * that is on its way. Giving up a grant that is no longer held does nothing, so that a new one is safe from it.
 * @returns undefined if somebody else has it.
 */
export async function takeAgain(asking: LeaseAsking, before: LeaseGrant): Promise<LeaseGrant | undefined> {
	await askLease(asking, () => asking.lease.release(before));
	return acquireLease(asking);
}
