/**
 * Guests of the save family's fault simulation: real bytes, because stores and keepers look into pages, and a program that
 * goes on whenever its host does. What a guest is at a moment is told by a signature: the hashes of its pages and its state.
 */
import type { Clock } from "../../ports/clock.ts";
import type { FaultingGuest } from "../../ports/faulting-guest.ts";
import { type Guest, GuestError, type GuestFactory, PAGE_BYTES } from "../../ports/guest.ts";
import type { Program, Touch } from "../program.ts";
import type { Findings } from "./findings.ts";
import type { Host } from "./host.ts";
import { MAXIMUM_PAGES, PAGES } from "./schedule.ts";

/** Pages that are zero at the start. */
const ZERO_PAGES = 6;
/** One turn of the program, in ms. */
const TURN_MS = 1;
/** The same while it rests. */
const REST_MS = 1000;

/** A guest with bytes that a program writes through an API: the memory guest is one. */
export interface ByteGuest extends FaultingGuest {
	readonly pageCount: number;
	readonly running: boolean;
	read(byteOffset: number, byteLength: number): Uint8Array;
	/** As `read`; waits where a page is missing. */
	load(byteOffset: number, byteLength: number): Promise<Uint8Array>;
	write(byteOffset: number, bytes: Uint8Array): void;
	getState(): Uint8Array;
	setState(bytes: Uint8Array): void;
	growMemory(pageCount: number): void;
}

/** Makes them: the lab knows no guest but its own. */
export interface ByteGuests {
	/** @param now - the time in ms, for what waits for missing pages take. */
	create(pageCount: number, maximumPageCount: number, now: () => number): ByteGuest;
	factory(clock: Clock, maximumPageCount: number): GuestFactory;
	is(guest: Guest): guest is ByteGuest;
}

/** What fault schedules run on. */
export interface FaultBench {
	/** A real clock: drains promises between two moments of virtual time. */
	readonly real: Pick<Clock, "sleep">;
	readonly guests: ByteGuests;
}

/** What a guest is: hashes of all pages, and its state, as text. */
export type Signature = string;

/** See the head of this file. */
export class SaveGuest {
	readonly guest: ByteGuest;
	/** What it was at each of its pauses, the last one last. */
	readonly pauses: Signature[] = [];
	/** First word of each page, as the program has left it. */
	readonly #words: Uint32Array<ArrayBuffer>;
	readonly #findings: Findings;
	#writes = 0;
	#over = false;
	#resting = false;

	/** @param words - what is in a guest that was restored; left out, a fresh one is filled. */
	constructor(guest: ByteGuest, host: Host, findings: Findings, words?: Uint32Array<ArrayBuffer>) {
		this.guest = guest;
		this.#findings = findings;
		host.copies.push({ discard: () => this.guest.discard() });
		this.#words = words?.slice() ?? new Uint32Array(MAXIMUM_PAGES);
		if (words === undefined) for (let page = 0; page < PAGES - ZERO_PAGES; page++) this.#write(page);
		const { pause } = this.guest;
		this.guest.pause = async (options) => {
			await pause.call(this.guest, options);
			this.pauses.push(await signatureOf(this.guest));
		};
	}

	/** First words of all pages. */
	get words(): Uint32Array<ArrayBuffer> {
		return this.#words;
	}

	/** Runs the program while the host does, until {@link stop}. Where pages are missing it waits for them. */
	async work(programs: readonly Program[], host: Host): Promise<void> {
		const touches = programs.map((): Touch => ({ page: 0, write: false, workMs: 0 }));
		const owedMs = programs.map(() => 0);
		while (!this.#over) {
			await host.clock.sleep(this.#resting ? REST_MS : TURN_MS);
			for (const [i, program] of programs.entries())
				for (
					owedMs[i]! -= TURN_MS;
					owedMs[i]! <= 0 && this.guest.running && !this.#over;
					owedMs[i]! += touches[i]!.workMs
				) {
					program.next(touches[i]!);
					if (!(await this.#touch(touches[i]!))) break;
				}
		}
	}

	/** Does next to nothing from now on: a long quiet time should cost few events. */
	rest(isResting: boolean): void {
		this.#resting = isResting;
	}

	stop(): void {
		this.#over = true;
	}

	/** Every page must hold what the program has written last. */
	compare(when: string): void {
		for (let page = 0; page < this.guest.pageCount; page++) {
			const word = wordAt(this.guest.read(page * PAGE_BYTES, 4));
			if (word === this.#words[page]) continue;
			this.#findings.violation(`${when}: page ${page} holds ${word}, the program has written ${this.#words[page]}`);
			return;
		}
	}

	/** @returns whether it could be done: not while the guest is paused or gone. */
	async #touch({ page, write }: Touch): Promise<boolean> {
		try {
			const bytes = await this.guest.load(page * PAGE_BYTES, 4);
			if (this.#over) return false;
			if (wordAt(bytes) !== this.#words[page])
				this.#findings.violation(
					`the program read ${wordAt(bytes)} in page ${page}, it had written ${this.#words[page]}`,
				);
			if (!write) return true;
			if (!this.guest.running) return false;
			this.#write(page);
			return true;
		} catch (error) {
			if (error instanceof GuestError && ["not-running", "gone"].includes(error.code)) return false;
			throw error;
		}
	}

	#write(page: number): void {
		const count = new Uint8Array(Uint32Array.of(++this.#writes).buffer);
		this.guest.write(page * PAGE_BYTES, count);
		this.guest.setState(count);
		this.#words[page] = this.#writes;
	}
}

/** What a guest that does not run is now. */
export async function signatureOf(guest: ByteGuest): Promise<Signature> {
	return signatureText(await guest.pages.hashes(0, guest.pageCount), guest.getState());
}

/** Hashes of all pages and the state, as text. */
export function signatureText(hashes: Uint8Array, state: Uint8Array): Signature {
	return `${new Uint32Array(hashes.slice().buffer).join()} ${state.join()}`;
}

function wordAt(bytes: Uint8Array): number {
	return bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24);
}
