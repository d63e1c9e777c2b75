/** A few batches on their way from the engine to the sink, in order; the first failure stops the rest. */
import type { LinkRate } from "../policies/link-rate.ts";
import type { Pacer } from "../policies/pacing.ts";
import type { Clock } from "../ports/clock.ts";
import type { PageBatch } from "../ports/guest.ts";
import type { PageSink } from "./page-sink.ts";

/** Encoded batches that may wait for the sink, and encodings asked for ahead of it. */
const BATCHES_UNDER_WAY = 4;

/** What a pipeline works with. */
export interface PipelineServices {
	readonly sink: PageSink;
	readonly clock: Clock;
	readonly pacer: Pacer;
	/** Told what the sink takes. */
	readonly rate: LinkRate;
	readonly signal: AbortSignal;
}

/** See the head of this file. */
export class BatchPipeline {
	readonly #services: PipelineServices;
	readonly #underWay: Promise<void>[] = [];
	#previous: Promise<void> = Promise.resolve();

	constructor(services: PipelineServices) {
		this.#services = services;
	}

	/** Adds an encoding that is under way; resolves when there is room for another. */
	async push(encoding: Promise<PageBatch>, note: (batch: PageBatch) => void): Promise<void> {
		const previous = this.#previous;
		let handedOver: () => void = () => undefined;
		// Batches reach the sink in the order of the pushes; the next one may go as soon as this one is in the sink's hands.
		this.#previous = new Promise((resolve) => {
			handedOver = resolve;
		});
		const done = this.#run(encoding, note, previous, handedOver);
		done.catch(() => undefined); // seen by the await below or by drain
		this.#underWay.push(done);
		if (this.#underWay.length >= BATCHES_UNDER_WAY) await this.#underWay.shift();
	}

	/** Resolves when the sink has taken everything. @throws the first failure. */
	async drain(): Promise<void> {
		for (let done = this.#underWay.shift(); done !== undefined; done = this.#underWay.shift()) await done;
	}

	/** Waits until nothing is under way any more, whatever became of it. */
	async settle(): Promise<void> {
		await Promise.allSettled(this.#underWay.splice(0));
	}

	async #run(
		encoding: Promise<PageBatch>,
		note: (batch: PageBatch) => void,
		previous: Promise<void>,
		handedOver: () => void,
	): Promise<void> {
		const { sink, clock, pacer, rate, signal } = this.#services;
		let batch: PageBatch | undefined;
		try {
			batch = await encoding;
			await previous;
			await pacer.take(batch.wireByteLength, signal);
			signal.throwIfAborted();
			note(batch);
			const submittedMs = clock.now();
			const accepted = sink.accept(batch, signal);
			handedOver();
			await accepted;
			rate.accepted(batch.wireByteLength, submittedMs, clock.now());
		} finally {
			handedOver();
			batch?.release();
		}
	}
}
