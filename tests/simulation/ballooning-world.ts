// A memory guest whose program allocates and frees pages, and moves of it in virtual time.
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { type PreCopyOptions, preCopy } from "../../bindings/migration/pre-copy.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };

export const TECHNIQUES = { "stop-and-copy": stopAndCopy, "pre-copy": preCopy, "post-copy": postCopy, hybrid };

/** See the head of this file. */
export class BallooningWorld {
	readonly clock = new VirtualClock(systemClock);
	readonly random: SeededRandom;
	readonly guest: MemoryGuest;
	readonly pages: number;
	/** Pages of the program, and the first byte of each. */
	readonly used = new Map<number, number>();

	/** @param pages of the guest: all of them free at first, with something in each */
	constructor(seed: number, pages: number) {
		this.random = new SeededRandom(seed);
		this.pages = pages;
		this.guest = new MemoryGuest({ pageCount: pages });
		this.guest.write(0, this.random.fill(new Uint8Array(pages * PAGE_BYTES)));
		this.guest.balloon.free(0, pages);
	}

	/** Allocates so many pages and writes to each. @returns how many there were */
	allocate(count: number): number {
		for (let i = 0; i < count; i++) {
			const page = this.guest.balloon.allocate();
			if (page === undefined) return i;
			const value = (this.random.nextU32() % 255) + 1;
			this.guest.write(page * PAGE_BYTES, Uint8Array.of(value));
			this.used.set(page, value);
		}
		return count;
	}

	/** Frees the oldest pages. */
	release(count: number): void {
		for (const page of [...this.used.keys()].slice(0, count)) {
			this.guest.balloon.free(page, 1);
			this.used.delete(page);
		}
	}

	/** A link to a target that takes the guest, whatever becomes of it there. */
	connect(): StreamLink {
		const { clock } = this;
		const line = connectSimulated(clock, { rateBytesPerMs: 20_000, latencyMs: 0.1 });
		const factory = new MemoryGuestFactory(clock, this.pages);
		void receiveGuest({ link: new StreamLink(line.b, LINK), clock, factories: [factory] });
		return new StreamLink(line.a, LINK);
	}

	/** Moves the guest. @returns the result, and the guest at the target once every page is there */
	async move(
		technique: keyof typeof TECHNIQUES,
		during: () => Promise<void> = () => Promise.resolve(),
		options: PreCopyOptions = {},
	): Promise<{ result: PostCopyResult; target: MemoryGuest }> {
		const { clock, guest, random } = this;
		const line = connectSimulated(clock, { rateBytesPerMs: 20_000, latencyMs: 0.1 });
		const factory = new MemoryGuestFactory(clock, this.pages);
		const received = receiveGuest({ link: new StreamLink(line.b, LINK), clock, factories: [factory] });
		const services = { guest, link: new StreamLink(line.a, LINK), clock, random };
		const moving: Promise<PostCopyResult> = TECHNIQUES[technique](services, { verification: "full", ...options });
		await during();
		const [result, at] = await Promise.all([moving, received]);
		if (at.outcome !== "running" || !(at.guest instanceof MemoryGuest)) throw new Error(`the guest is ${at.outcome}`);
		return { result, target: at.guest };
	}
}
