// The order of use, inside a guest's worker: which sampler works while somebody wants to know, and when its turns end.
import type { Clock } from "../../ports/clock.ts";
import { GuestError } from "../../ports/guest.ts";
import type { LiveCode } from "./live-code.ts";
import { supportsInstrumentation } from "./module/page-map.ts";
import type { PageWork } from "./page-work.ts";
import type { Empty } from "./protocol.ts";
import { ACCESS_TURN_MS, AccessSampler, WRITE_TURN_MS, WriteSampler } from "./use-sampler.ts";
import type { WorkLoop } from "./work-loop.ts";

/** What a sampler that was closed meanwhile has found. */
const NOTHING = { bits: new Uint8Array(0) };

/** What it works with. */
export interface OrderParts {
	readonly clock: Clock;
	/** Code that calls out at a page which counts as missing. */
	readonly variant: "presence" | "watched";
	loop(): WorkLoop;
	live(): LiveCode;
	work(): PageWork;
	/** Whether pages are really missing. */
	isWaiting(): boolean;
	/** Brings the code that is needed now; resolves at a call boundary. @throws GuestError `state` */
	settleCode(): Promise<void>;
}

/** See the head of this file. */
export class OrderWork {
	readonly #parts: OrderParts;
	/** The dirty cursor that knows of writes. */
	#writes: Promise<{ readonly cursor: number }> | undefined;
	#sampler: AccessSampler | WriteSampler | undefined;
	#cursors = 0;

	constructor(parts: OrderParts) {
		this.#parts = parts;
	}

	/** Whether the code must call out at each page's first use. */
	get samplesAccesses(): boolean {
		return this.#sampler instanceof AccessSampler;
	}

	/** @throws GuestError `missing` while pages are; `state` when the code that samples cannot take over */
	async open(): Promise<Empty> {
		if (this.#parts.isWaiting())
			throw new GuestError("missing", "the order of use is not known while pages are missing");
		if (this.#cursors++ > 0) return {};
		try {
			if (supportsInstrumentation()) await this.#sampleAccesses();
			else this.#sampleWrites();
			return {};
		} catch (error) {
			await this.close();
			throw error;
		}
	}

	recentFirst(): Uint32Array<ArrayBuffer> {
		return this.#sampler?.recentFirst() ?? new Uint32Array(0);
	}

	/** Host code uses a range. */
	touch(pointer: number, byteLength: number): void {
		if (this.#sampler instanceof AccessSampler && byteLength > 0) this.#sampler.touch(pointer, byteLength);
	}

	async close(): Promise<Empty> {
		if (--this.#cursors > 0) return {};
		const sampler = this.#sampler;
		this.#sampler = undefined;
		if (!(sampler instanceof AccessSampler)) {
			const opened = this.#writes;
			this.#writes = undefined;
			// Behind this job, which must not wait for it.
			opened
				?.then(({ cursor }) => this.#parts.loop().job(() => this.#parts.work().close({ cursor })))
				.catch(() => undefined); // what was never opened, or went with the guest, need not be closed
			return {};
		}
		sampler.stop();
		const { live, variant } = this.#parts;
		live().onArrive(variant, () => undefined);
		await this.#parts.settleCode().catch(() => undefined); // where plain code cannot take over, what runs goes on
		return {};
	}

	async #sampleAccesses(): Promise<void> {
		const { live, variant, clock, work, settleCode } = this.#parts;
		await live().ready(variant);
		const sampler = new AccessSampler(clock, live().map(variant), work().pageCount);
		live().onArrive(variant, (page) => sampler.arrive(page));
		this.#sampler = sampler;
		await settleCode();
		this.#turns(sampler, ACCESS_TURN_MS, () => sampler.turn(work().pageCount)).catch(() => this.#giveUp(sampler));
	}

	#sampleWrites(): void {
		const { loop, work } = this.#parts;
		const sampler = new WriteSampler(work().pageCount);
		this.#sampler = sampler;
		this.#harvest(sampler, loop(), work()).catch(() => this.#giveUp(sampler));
	}

	async #harvest(sampler: WriteSampler, loop: WorkLoop, work: PageWork): Promise<void> {
		const opened = loop.job(() => work.open());
		this.#writes = opened;
		const { cursor } = await opened;
		await this.#turns(sampler, WRITE_TURN_MS, async () => {
			// A paused guest writes nothing, and whoever has paused it is in a hurry.
			if (loop.paused) return;
			const harvested = await loop.job(() => (this.#sampler === sampler ? work.harvest({ cursor }) : NOTHING));
			sampler.note(harvested.bits);
		});
	}

	/**
	 * A sampler that fails between two messages must not bring the guest down with it: nobody waits for it. What it knew of the
	 * order is all that is known (`knownPages` in a move's metrics says how much).
	 */
	#giveUp(sampler: AccessSampler | WriteSampler): void {
		if (this.#sampler !== sampler) return;
		if (sampler instanceof AccessSampler) sampler.stop();
		else this.#sampler = undefined;
	}

	/** Ends a turn of a sampler again and again, as long as it is the one in use. */
	async #turns(sampler: AccessSampler | WriteSampler, turnMs: number, end: () => void | Promise<void>): Promise<void> {
		for (;;) {
			await this.#parts.clock.sleep(turnMs);
			if (this.#sampler !== sampler) return;
			await end();
		}
	}
}
