/**
 * A small world for post-copy: a guest whose program reads and writes wherever it runs, two hosts, a simulated network,
 * and a referee. The oracle is a copy of the memory that takes every write the program has finished, wherever it ran: so
 * after paging it must equal the target's memory, whatever happened on the way.
 */
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveLedger, type SourceWord, type TargetWord } from "../../bindings/handover/ledger.ts";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { type HybridOptions, hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveProgress } from "../../bindings/migration/metrics.ts";
import { type PostCopyOptions, postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { type Resolution, resolveMove } from "../../bindings/migration/resolve.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { PAGES, TwoHosts, type TwoHostsOptions } from "./two-hosts.ts";

/** Of the guest's pages, the last are zero until the program writes there. */
const ZERO_PAGES = 8;

export type PagingTechnique = "post-copy" | "hybrid" | "pre-copy";

export interface PagingWorldOptions extends TwoHostsOptions {
	readonly durable?: boolean;
	/** Concurrent strands of the guest's program. */
	readonly strands?: number;
	/** Pages that the source's guest cannot fault on. */
	readonly pinned?: readonly number[];
}

/** See the head of this file. */
export class PagingWorld extends TwoHosts {
	targetLedger: MoveLedger<TargetWord>;
	readonly sourceLedger: MoveLedger<SourceWord>;
	/** How often each page has been encoded after the source's last pause. */
	readonly sent = new Map<number, number>();
	/** How often each page has been installed by paging. */
	readonly installed = new Map<number, number>();
	/** Reads and writes that the program has finished at a target. */
	steps = 0;
	readonly #options: PagingWorldOptions;
	readonly #store = new MemoryStore();
	readonly #oracle: Uint8Array;
	#writes = 0;

	constructor(options: PagingWorldOptions) {
		super(options);
		this.#options = options;
		this.watch(this.guest);
		this.guest.write(0, this.random.fill(new Uint8Array((PAGES - ZERO_PAGES) * PAGE_BYTES)));
		this.guest.setState(Uint8Array.of(1, 2, 3));
		this.#oracle = this.guest.read(0, PAGES * PAGE_BYTES);
		this.#spy();
		const store = options.durable ? this.#store : undefined;
		this.targetLedger = new MoveLedger("target", store);
		this.sourceLedger = new MoveLedger("source", store);
	}

	/** Runs `main` in virtual time with the program at work. */
	run<T>(main: () => Promise<T>): Promise<T> {
		return this.runBeside(main, this.#options.strands ?? 2, 1);
	}

	/** Starts a target, and the move to it. `at` happens at the first progress record of a phase. */
	move(
		technique: PagingTechnique,
		options: PostCopyOptions & HybridOptions = {},
		at?: { readonly phase: MovePhase; readonly event: () => void; readonly after?: number },
	): Promise<PostCopyResult> {
		this.listen();
		const services = {
			guest: this.guest,
			link: this.open("a"),
			clock: this.clock,
			random: this.random,
			ledger: this.sourceLedger,
		};
		let seen = 0;
		let fraction = 0;
		const onProgress = (progress: MoveProgress): void => {
			if (this.phases.at(-1) !== progress.phase) this.phases.push(progress.phase);
			if (progress.fraction < fraction)
				this.violations.push(`progress ran backwards: ${fraction} to ${progress.fraction}`);
			fraction = progress.fraction;
			if (progress.phase === at?.phase && seen++ === (at.after ?? 0)) at.event();
		};
		const all = { moveId: "m1", ...options, onProgress };
		if (technique === "post-copy") return postCopy(services, all);
		if (technique === "hybrid") return hybrid(services, all);
		return preCopy(services, { ...all, whenNotConverging: "post-copy", convergence: () => "iterations" });
	}

	/** Asks what became of a move that left no pages for later. */
	resolve(): Promise<Resolution> {
		this.reconnect();
		this.listen();
		return resolveMove({ guest: this.guest, clock: this.clock, ledger: this.sourceLedger }, this.open("a"), "m1");
	}

	/** The target's process dies and starts again. */
	restartTarget(): void {
		for (const copy of this.copies.splice(1)) void copy.discard();
		this.receivers.clear();
		this.targetLedger = new MoveLedger("target", this.#options.durable ? this.#store : undefined);
	}

	/** What differs between a whole copy and the oracle. */
	compare(copy: MemoryGuest): void {
		const memory = copy.read(0, PAGES * PAGE_BYTES);
		const at = memory.findIndex((byte, i) => byte !== this.#oracle[i]);
		if (at >= 0) this.violations.push(`page ${Math.floor(at / PAGE_BYTES)} is not what the program has written`);
	}

	/** Every page sent once, and installed once, on a link that nothing disturbed. */
	checkOnce(most = 1): void {
		for (const [page, times] of this.sent)
			if (times > most) this.violations.push(`page ${page} was sent ${times} times`);
		this.checkInstalledOnce();
	}

	checkInstalledOnce(): void {
		for (const [page, times] of this.installed)
			if (times > 1) this.violations.push(`page ${page} was installed ${times} times`);
	}

	/** Counts what the source encodes while it is paused. */
	#spy(): void {
		const { guest, sent } = this;
		const encode = guest.pages.encode.bind(guest.pages);
		Object.assign(guest.pages, {
			encode: (pageIndices: Uint32Array, options: { compress: boolean }) => {
				if (!guest.running) for (const page of pageIndices) sent.set(page, (sent.get(page) ?? 0) + 1);
				return encode(pageIndices, options);
			},
		});
		const pause = guest.pause.bind(guest);
		guest.pause = async () => {
			await pause();
			sent.clear();
		};
		const bits = new Uint8Array(PAGES / 8);
		for (const page of this.#options.pinned ?? []) bits[page >>> 3]! |= 1 << (page & 7);
		Object.assign(guest.faulting, { pinned: () => Promise.resolve(bits.slice()) });
	}

	protected override watch(guest: MemoryGuest): void {
		super.watch(guest);
		const install = guest.faulting.install.bind(guest.faulting);
		Object.assign(guest.faulting, {
			install: async (...args: Parameters<typeof install>) => {
				const done = await install(...args);
				for (const page of done.pageIndices) this.installed.set(page, (this.installed.get(page) ?? 0) + 1);
				return done;
			},
		});
	}

	/** Reads or writes somewhere. */
	protected override async step(runner: MemoryGuest): Promise<void> {
		// Words at multiples of 4: strands that meet on one write one after the other.
		const offset = (this.random.nextU32() % ((PAGES * PAGE_BYTES) / 4)) * 4;
		if (this.random.nextU32() % 2 === 0) {
			// Compared in the instant of the read: after a `load` another strand may have written there before its promise is seen.
			await runner.touch(offset, 4);
			const read = runner.read(offset, 4);
			if (!this.isOver && read.some((byte, i) => byte !== this.#oracle[offset + i]))
				this.violations.push(`the program read wrong bytes at ${offset}`);
		} else {
			const word = new Uint8Array(Uint32Array.of(++this.#writes).buffer);
			await runner.touch(offset, 4);
			runner.write(offset, word);
			this.#oracle.set(word, offset);
		}
		if (runner !== this.guest) this.steps++;
	}
}
