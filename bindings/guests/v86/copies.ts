// Copies of a paused v86 guest, for a pause that is as short as copying: see ports/copying-guest.ts. What was copied needs
// nothing of the machine any more, only the engine, which lives until the last copy is released.
import type { CopyControl, PagesCopy, StateCopy } from "../../ports/copying-guest.ts";
import type { PageBatch } from "../../ports/guest.ts";
import { atOnce, type RunJob } from "./dirty-log.ts";
import type { MissingRam } from "./missing-ram.ts";
import { MOST_COPIED_PAGES, type PageWork } from "./page-work.ts";

/** What copies are made with. */
export interface CopyParts {
	readonly work: PageWork;
	/** @returns what encodes it: see DeviceState */
	readonly copyState: () => () => Uint8Array<ArrayBuffer>;
	readonly missing: MissingRam;
	/** With the guest's other work, whatever has become of the guest. */
	readonly run: RunJob;
	/** @throws {GuestError} where the guest is not paused */
	readonly requirePaused: () => void;
	readonly isPaused: () => boolean;
}

/** See the head of this file. */
export class V86Copies implements CopyControl {
	readonly mostPages: number = MOST_COPIED_PAGES;
	readonly #parts: CopyParts;

	constructor(parts: CopyParts) {
		this.#parts = parts;
	}

	async pages(pageIndices: Uint32Array): Promise<PagesCopy> {
		const { work, missing, run, requirePaused, isPaused } = this.#parts;
		requirePaused();
		for (const page of pageIndices) missing.require("a copy", page, 1);
		const copy = work.copyPages(pageIndices);
		const use = new Use(() => copy.free());
		return {
			encode: (indices, options): Promise<PageBatch> =>
				use.during(() => run(() => work.encodeCopy(copy, indices, options, isPaused))),
			release: () => use.end(),
		};
	}

	async state(): Promise<StateCopy> {
		const { work, copyState, run, requirePaused } = this.#parts;
		requirePaused();
		const encode = copyState();
		const use = new Use(work.retain());
		return { encode: () => use.during(() => run(() => atOnce(encode))), release: () => use.end() };
	}
}

/** What may be used until its end, and is freed when that has come and nobody uses it. */
class Use {
	readonly #free: () => void;
	#users = 0;
	#isOver = false;
	#isFree = false;

	constructor(free: () => void) {
		this.#free = free;
	}

	async during<T>(work: () => Promise<T>): Promise<T> {
		if (this.#isOver) throw new TypeError("this copy was released");
		this.#users++;
		try {
			return await work();
		} finally {
			this.#users--;
			this.#freeIfDone();
		}
	}

	end(): void {
		this.#isOver = true;
		this.#freeIfDone();
	}

	#freeIfDone(): void {
		if (!this.#isOver || this.#users > 0 || this.#isFree) return;
		this.#isFree = true;
		this.#free();
	}
}
