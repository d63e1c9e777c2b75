// How changes of a QEMU's RAM are found, decided for all workers together: which pages a look may leave out, and whether what it
// left out is proven (ram-look.ts, soft-dirty.ts). Whatever is in doubt is read, and the report says so.
import type { HostFiles } from "../../ports/host-files.ts";
import type { LookKind, LookReport } from "./ram-protocol.ts";
import { clearSoftDirty, swapsHere } from "./soft-dirty.ts";

/** See {@link QemuTracking.tracker}. */
export type QemuTracker = "scan" | "soft-dirty";

/** How changed pages are found, and what that took. */
export interface QemuTracking {
	/**
	 * `scan`: pages are compared with a shadow, but for holes while the machine is paused. `soft-dirty`: only pages that the
	 * system has marked as written are compared.
	 */
	readonly tracker: QemuTracker;
	/** Why it is not `soft-dirty`; absent where it is. */
	readonly withoutSoftDirty?: string;
	/** The last time that a cursor read and cleared its bits. */
	readonly lastHarvest?: QemuHarvest;
}

/** What one harvest took. */
export interface QemuHarvest {
	readonly pageCount: number;
	/** Pages that were read and compared. */
	readonly readPages: number;
	/** Pages that were left out because the RAM file does not have them: they are zero, and were. */
	readonly holePages: number;
	/** Pages that were left out because they were not marked as written. */
	readonly cleanPages: number;
	/** Why nothing was left out; absent where something was. */
	readonly everything?: string;
}

/** After a proof that failed, so many harvests are made without trying: what is in doubt is read twice. */
const HARVESTS_WITHOUT_PROOF = 16;
/** Marks are cleared when more than this part of the pages has them: clearing makes each page's next write slower. */
const CLEAR_ABOVE = 1 / 32;

/** What {@link RamTracking} needs of its guest. */
export interface TrackedProcess {
	readonly files: HostFiles;
	readonly pid: number;
	/** Whether the machine is paused, and stays so until {@link QemuRam.settled}. */
	isPaused(): boolean;
}

/** See the head of this file. */
export class RamTracking {
	readonly #process: TrackedProcess;
	readonly #pageCount: number;
	#tracker: QemuTracker = "scan";
	#withoutSoftDirty: string | undefined = "it was not asked for";
	#withoutHoles: string | undefined;
	#waitHarvests = 0;
	/** Why the harvest under way leaves nothing out. */
	#everything = "there are not enough holes";
	#lastHarvest: QemuHarvest | undefined;

	constructor(process: TrackedProcess, pageCount: number, withoutMap: string | undefined) {
		this.#process = process;
		this.#pageCount = pageCount;
		this.#withoutHoles = withoutMap;
	}

	get report(): QemuTracking {
		return {
			tracker: this.#tracker,
			...(this.#withoutSoftDirty === undefined ? {} : { withoutSoftDirty: this.#withoutSoftDirty }),
			...(this.#lastHarvest === undefined ? {} : { lastHarvest: this.#lastHarvest }),
		};
	}

	/** @param why - soft-dirty marks are not used; `undefined`: they are */
	decide(why: string | undefined): void {
		this.#tracker = why === undefined ? "soft-dirty" : "scan";
		this.#withoutSoftDirty = why;
	}

	/** Whether the machine is paused now. */
	get isPaused(): boolean {
		return this.#process.isPaused();
	}

	/** What a harvest that begins now may leave out. */
	kind(): LookKind {
		if (this.#tracker === "soft-dirty") return "soft-dirty";
		this.#everything =
			this.#withoutHoles !== undefined
				? `holes are not known: ${this.#withoutHoles}`
				: !this.isPaused
					? "the machine runs"
					: this.#waitHarvests > 0
						? "a harvest before could not be proven"
						: "";
		if (this.#everything !== "") {
			if (this.isPaused && this.#waitHarvests > 0) this.#waitHarvests--;
			return "all";
		}
		this.#everything = "there are not enough holes";
		return "holes";
	}

	/** Changes count from now: the first cursor is about to copy the memory. */
	async start(): Promise<void> {
		if (this.#tracker === "soft-dirty") await this.clear();
	}

	/** Soft-dirty marks are trusted only where the system does not swap. To be asked beside the harvest. */
	async doubts(kind: LookKind): Promise<string | undefined> {
		return kind === "soft-dirty" ? swapsHere(this.#process.files) : undefined;
	}

	/** @returns why all pages have to be read after all; `undefined`: what was left out is as it was */
	judge(looks: readonly LookReport[], doubt: string | undefined): string | undefined {
		const why = doubt ?? whyUnsound(looks);
		if (why === undefined) {
			this.#note(looks);
			return undefined;
		}
		if (this.#tracker === "soft-dirty") this.decide(why);
		else this.#waitHarvests = HARVESTS_WITHOUT_PROOF;
		this.#lastHarvest = {
			pageCount: this.#pageCount,
			readPages: this.#pageCount,
			holePages: 0,
			cleanPages: 0,
			everything: why,
		};
		return why;
	}

	/** After a harvest of a machine that is paused since before it: the shadow is as the memory is. */
	async harvested(looks: readonly LookReport[]): Promise<void> {
		if (this.#tracker !== "soft-dirty" || looks.some(({ kind }) => kind !== "soft-dirty")) return;
		const marked = looks.reduce((sum, { readPages }) => sum + readPages, 0);
		if (marked > this.#pageCount * CLEAR_ABOVE) await this.clear();
	}

	async clear(): Promise<void> {
		try {
			await clearSoftDirty(this.#process.files, this.#process.pid);
		} catch (error) {
			// Marks that stay cost time, not truth: the pages that have them are read again.
			this.decide(`the marks cannot be cleared any more: ${error instanceof Error ? error.message : String(error)}`);
		}
	}

	#note(looks: readonly LookReport[]): void {
		const pageCount = this.#pageCount;
		const readPages = looks.reduce((sum, look) => sum + look.readPages, 0);
		const kind = looks.find((look) => look.kind !== "all")?.kind;
		this.#lastHarvest = {
			...{ pageCount, readPages },
			holePages: kind === "holes" ? pageCount - readPages : 0,
			cleanPages: kind === "soft-dirty" ? pageCount - readPages : 0,
			...(kind === undefined ? { everything: this.#everything } : {}),
		};
	}
}

/** @returns why pages may have been left out that are not as they were */
function whyUnsound(looks: readonly LookReport[]): string | undefined {
	const lost = looks.reduce((sum, { lostPages = 0 }) => sum + lostPages, 0);
	if (lost > 0) return `the system has unmapped ${lost} pages`;
	if (looks.every(({ kind }) => kind !== "holes")) return undefined;
	const allocated = looks[0]?.allocatedPages;
	if (looks.some((look) => look.kind !== "holes" || look.allocatedPages !== allocated))
		return "the workers have seen different numbers of pages";
	const known = looks.reduce((sum, { knownPages = 0 }) => sum + knownPages, 0);
	return known === allocated ? undefined : `of ${allocated} pages in the RAM file only ${known} are known`;
}
