/**
 * A paused copy that follows a guest which runs elsewhere: takes checkpoints from one link after another, applies each as a
 * whole, and acknowledges it when it is applied.
 *
 *   records ─▶ collector ─ whole ─▶ standby.apply ─▶ lastEpoch = n ─▶ committed(n)
 *   link lost: what was half collected is forgotten; what is being applied is applied
 *
 * Invariants: `committed(n)` is said after the copy has become checkpoint n, and never before; no checkpoint begins while
 * another is being applied, so that there is never more than one in memory, whatever the other side sends.
 */
import { createEngine, type Engine } from "../engine/engine.ts";
import { MoveError } from "../handover/move-error.ts";
import type { StandbyGuest } from "../ports/standby-guest.ts";
import type { CheckpointPart } from "../wire/records.ts";
import { CheckpointCollector, type CollectedCheckpoint } from "./checkpoint-collector.ts";

/** Acknowledgements on their way at most: an honest target has taken the last before it sends the next checkpoint. */
const MAX_UNSAID = 4;

/** What a follower works with. */
export interface FollowerServices {
	readonly guest: StandbyGuest;
	/** Whether a checkpoint may change this page. One that may not is the peer's mistake, and nothing is applied. */
	readonly mayChange?: (page: number) => boolean;
}

/** The other end of one link. */
export interface FollowedLink {
	/** Says that the copy has this checkpoint. */
	acknowledge(epoch: number): Promise<void>;
	/** The checkpoints that come over this link cannot be followed any more. */
	fail(error: unknown): void;
}

/** What following has cost. */
export interface FollowerFigures {
	readonly checkpoints: number;
	readonly pages: number;
	readonly bytes: number;
}

/** See the head of this file. */
export class CheckpointFollower {
	readonly #services: FollowerServices;
	readonly #engine: Engine = createEngine();
	readonly #changed = new Set<number>();
	#lastEpoch = 0;
	#collector: CheckpointCollector | undefined;
	#link: FollowedLink | undefined;
	#applying: Promise<void> = Promise.resolve();
	#isApplying = false;
	/** Acknowledgements that have not left. */
	#unsaid = 0;
	#figures: FollowerFigures = { checkpoints: 0, pages: 0, bytes: 0 };

	constructor(services: FollowerServices) {
		this.#services = services;
	}

	/** The checkpoint that the copy is at; 0: as it was paused. */
	get lastEpoch(): number {
		return this.#lastEpoch;
	}

	/** Pages that are not what they were when the copy was paused. */
	get changedPages(): ReadonlySet<number> {
		return this.#changed;
	}

	get figures(): FollowerFigures {
		return this.#figures;
	}

	/** Checkpoints come over this link from now on. */
	follow(link: FollowedLink): void {
		this.#collector = this.#newCollector();
		this.#link = link;
	}

	/** Nothing comes over the present link any more. Resolves when what is being applied is. */
	async unfollow(): Promise<void> {
		this.#link = undefined;
		this.#collector = undefined;
		await this.#applying;
	}

	/** Takes a record of a checkpoint; its bytes must stay as they are. What is wrong with it fails the link. */
	take(record: CheckpointPart): void {
		const link = this.#link;
		const collector = this.#collector;
		if (link === undefined || collector === undefined) return;
		try {
			if (this.#isApplying)
				throw new MoveError("protocol", `a '${record.type}' of a checkpoint before the last one is committed`);
			if (this.#unsaid > MAX_UNSAID)
				throw new MoveError("protocol", "the target sends checkpoints and does not take their acknowledgement");
			const checkpoint = collector.take(record);
			if (checkpoint === undefined) return;
			const { mayChange } = this.#services;
			for (const page of checkpoint.pageIndices)
				if (mayChange?.(page) === false)
					throw new MoveError(
						"protocol",
						`checkpoint ${checkpoint.epoch} changes page ${page}, which is not there yet`,
					);
			this.#isApplying = true;
			this.#applying = this.#apply(checkpoint, link);
		} catch (error) {
			link.fail(error);
		}
	}

	async #apply(checkpoint: CollectedCheckpoint, link: FollowedLink): Promise<void> {
		const { epoch, pageIndices, batches, state } = checkpoint;
		try {
			await this.#services.guest.standby.apply(checkpoint);
		} catch (cause) {
			this.#isApplying = false;
			const words = cause instanceof Error ? cause.message : String(cause);
			link.fail(
				new MoveError("corrupt", `checkpoint ${epoch} was refused, nothing of it is applied: ${words}`, { cause }),
			);
			return;
		}
		this.#lastEpoch = epoch;
		for (const page of pageIndices) this.#changed.add(page);
		const { checkpoints, pages, bytes } = this.#figures;
		const added = batches.reduce((sum, batch) => sum + batch.bytes.byteLength, state.byteLength);
		this.#figures = { checkpoints: checkpoints + 1, pages: pages + pageIndices.length, bytes: bytes + added };
		this.#isApplying = false;
		// Not waited for: a peer that takes no acknowledgement must not hold up the end of the link.
		this.#unsaid++;
		link
			.acknowledge(epoch)
			.catch(() => undefined) // a link that is gone is noticed by whoever serves it; the next one says where this copy is
			.finally(() => {
				this.#unsaid--;
			});
	}

	#newCollector(): CheckpointCollector {
		const { maximumPageCount } = this.#services.guest.state.layout();
		return new CheckpointCollector(this.#engine, maximumPageCount, this.#lastEpoch);
	}
}
