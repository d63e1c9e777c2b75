/** A guest for a snapshot: the factory that can take it, the code it lacks, its set-up. What full and lazy restores share. */
import type { Guest, GuestFactory, PreparedTarget } from "../ports/guest.ts";
import type { Random } from "../ports/random.ts";
import { isToldGuest, type RestoreFacts } from "../ports/told-guest.ts";
import { toHex } from "../wire/digest.ts";
import { noteGeneration } from "./generation.ts";
import { RestoreError } from "./restore-error.ts";
import { judgePolicy, type PolicyReport, type RestorePolicy } from "./restore-policy.ts";
import type { SnapshotReader } from "./store-reader.ts";

/** Bytes of a seed and of a generation's id. */
const SEED_BYTES = 32;
const GENERATION_BYTES = 16;

/** Which copy of several. */
export interface CloneNumber {
	readonly index: number;
	readonly count: number;
}

/**
 * The factory for a snapshot's guest.
 * @throws {RestoreError} `refused` naming every obstacle.
 */
export function factoryFor(
	snapshot: SnapshotReader,
	factories: readonly GuestFactory[],
	options: { readonly faulting: boolean },
): GuestFactory {
	const { layout } = snapshot;
	const factory = factories.find(({ kind }) => kind === layout.kind);
	if (factory === undefined) throw new RestoreError("refused", `no factory here makes guests of kind '${layout.kind}'`);
	const obstacles = factory.check(layout, options).map(({ message }) => message);
	if (obstacles.length > 0) throw new RestoreError("refused", obstacles.join("; "));
	return factory;
}

/** Sets targets up, all or none, each with the code that the factory lacks. */
export async function setUpTargets(
	snapshot: SnapshotReader,
	factory: GuestFactory,
	count: number,
	options: { readonly faulting: boolean; readonly signal: AbortSignal },
): Promise<PreparedTarget[]> {
	const { layout } = snapshot;
	const resources = new Map<string, Uint8Array<ArrayBuffer>>();
	for (const hash of factory.missing(layout)) {
		const bytes = await snapshot.resource(hash);
		if (bytes === undefined)
			throw new RestoreError("refused", `neither this side nor the snapshot has the code ${hash}`);
		resources.set(hash, bytes);
	}
	const { faulting, signal } = options;
	const settled = await Promise.allSettled(
		// Where pages come as they are touched, so does memory.
		Array.from({ length: count }, () => factory.setUp(layout, resources, signal, { faulting, prefault: !faulting })),
	);
	const targets = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
	const failed = settled.find((result) => result.status === "rejected");
	if (failed === undefined && !signal.aborted) return targets;
	await discardAll(targets.map(({ guest }) => guest));
	throw failed === undefined ? signal.reason : failed.reason;
}

/** Gives guests up that will not run. */
export async function discardAll(guests: readonly Guest[]): Promise<void> {
	await Promise.allSettled(guests.map((guest) => guest.discard()));
}

/** What a copy is told. */
export function restoreFacts(
	snapshotId: string,
	policy: RestorePolicy,
	random: Random,
	clone: CloneNumber,
): RestoreFacts {
	return {
		snapshotId,
		generation: toHex(random.fill(new Uint8Array(GENERATION_BYTES))),
		clock: policy.clock,
		random: policy.random,
		seed: random.fill(new Uint8Array(SEED_BYTES)),
		cloneIndex: clone.index,
		cloneCount: clone.count,
	};
}

/**
 * Tells a guest whose state is restored which copy it is and what becomes of clock and random numbers.
 * @throws {RestoreError} `policy` where that would go wrong silently.
 */
export async function tellGuest(guest: Guest, snapshot: SnapshotReader, facts: RestoreFacts): Promise<PolicyReport> {
	const told = isToldGuest(guest) && (await guest.restored.tell(facts));
	noteGeneration(guest, facts.generation);
	return judgePolicy(snapshot.layout, { clock: facts.clock, random: facts.random }, told);
}
