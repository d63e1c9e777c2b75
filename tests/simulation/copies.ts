// Makes a memory guest one that a pause only copies (ports/copying-guest.ts). Encoding can fail, and counts what is not released.
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import type { CopyControl } from "../../bindings/ports/copying-guest.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";

/** Copies of one guest. */
export class Copies implements CopyControl {
	readonly mostPages: number;
	/** Copies that nobody has released. */
	held = 0;
	/** Pages that were copied, and were encoded of a copy while the guest ran. */
	copiedPages = 0;
	encodedRunning = 0;
	fault: GuestError | undefined;
	/** What a copy waits for, once it is made. */
	waits: (of: "pages" | "state") => Promise<void> = () => Promise.resolve();
	readonly #guest: MemoryGuest;

	constructor(guest: MemoryGuest, mostPages: number) {
		this.#guest = guest;
		this.mostPages = mostPages;
	}

	pages: CopyControl["pages"] = async (pageIndices) => {
		this.#requirePaused();
		if (pageIndices.length > this.mostPages) throw new RangeError("more than fits");
		const { pageCount } = this.#guest;
		const frozen = new MemoryGuest({ pageCount });
		const copied = new Set(pageIndices);
		for (const page of copied) frozen.write(page * PAGE_BYTES, this.#guest.read(page * PAGE_BYTES, PAGE_BYTES));
		this.copiedPages += copied.size;
		const held = this.#held();
		await this.waits("pages");
		return {
			...held,
			encode: (indices, options) => {
				if (this.fault !== undefined) return Promise.reject(this.fault);
				if (indices.some((page) => !copied.has(page))) throw new RangeError("not copied");
				if (this.#guest.running) this.encodedRunning += indices.length;
				return frozen.pages.encode(indices, options);
			},
		};
	};

	state: CopyControl["state"] = async () => {
		this.#requirePaused();
		const bytes = Uint8Array.from(await this.#guest.state.capture());
		const held = this.#held();
		await this.waits("state");
		return {
			...held,
			encode: () => (this.fault === undefined ? Promise.resolve(bytes) : Promise.reject(this.fault)),
		};
	};

	#requirePaused(): void {
		if (this.#guest.running) throw new GuestError("not-paused", "the guest runs");
	}

	#held(): { release(): void } {
		this.held++;
		let released = false;
		return {
			release: () => {
				if (!released) this.held--;
				released = true;
			},
		};
	}
}

/** See the head of this file. */
export function makeCopying(guest: MemoryGuest, mostPages: number): Copies {
	const copies = new Copies(guest, mostPages);
	Object.assign(guest, { copies });
	return copies;
}
