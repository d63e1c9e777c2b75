/**
 * A small world for post-copy with checkpoints: a guest whose program writes, counts its steps in its memory and says how far
 * it is; two hosts, a simulated network, a lease, and a referee.
 *
 * What the program has said and somebody has heard must be contained in whatever runs later: after a revive, the step that
 * the revived memory is at is no less than any step that was heard of, and the memory is what the steps up to it have made.
 */
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveLedger, type SourceWord, type TargetWord } from "../../bindings/handover/ledger.ts";
import { MemoryLease } from "../../bindings/handover/memory-lease.ts";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import { type HybridOptions, hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveProgress } from "../../bindings/migration/metrics.ts";
import { type PostCopyOptions, postCopy } from "../../bindings/migration/post-copy.ts";
import type { OwedPages, PostCopyResult } from "../../bindings/migration/results.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { LeaseGrant } from "../../bindings/ports/lease.ts";
import { PAGES, TwoHosts, type TwoHostsOptions } from "./two-hosts.ts";

/** A lease holds for so long without renewal, in ms. */
export const LEASE_MS = 40;
const GRACE_MS = 5;

export interface CheckpointWorldOptions extends TwoHostsOptions {
	/** The right to run is governed by a lease; else the caller decides. */
	readonly leased?: boolean;
	/** The program grows the memory now and then. */
	readonly grows?: boolean;
}

/** What one step of the program has done. */
interface Step {
	readonly offset: number;
	readonly word: Uint8Array;
	readonly pageCount: number;
}

/** See the head of this file. */
export class CheckpointWorld extends TwoHosts {
	override readonly lease: MemoryLease | undefined;
	readonly sourceLedger = new MoveLedger<SourceWord>("source");
	targetLedger = new MoveLedger<TargetWord>("target");
	/** Steps that somebody has heard of. */
	readonly heard: number[] = [];
	grant: LeaseGrant | undefined;
	readonly #options: CheckpointWorldOptions;
	readonly #initial: Uint8Array;
	#steps: Step[] = [];
	/** Who may speak. */
	#speaker: MemoryGuest | undefined;

	constructor(options: CheckpointWorldOptions) {
		super(options);
		this.#options = options;
		this.lease = options.leased
			? new MemoryLease(this.clock, { timeToLiveMs: LEASE_MS, graceMs: GRACE_MS })
			: undefined;
		this.watch(this.guest);
		this.guest.write(PAGE_BYTES, this.random.fill(new Uint8Array((PAGES - 1) * PAGE_BYTES)));
		this.#initial = this.guest.read(0, PAGES * PAGE_BYTES);
	}

	/** Steps that the program has made, wherever it ran. */
	get steps(): number {
		return this.#steps.length;
	}

	/** Runs `main` in virtual time with the program at work. */
	run<T>(main: () => Promise<T>): Promise<T> {
		return this.runBeside(main, 1, 0.5);
	}

	/** Starts a target, and the move to it. */
	async move(
		technique: "post-copy" | "hybrid" = "post-copy",
		options: PostCopyOptions & HybridOptions = {},
		at?: { readonly phase: MovePhase; readonly event: () => void; readonly after?: number },
	): Promise<PostCopyResult> {
		if (this.lease !== undefined) this.grant = await this.lease.acquire();
		this.listen();
		const services = {
			guest: this.guest,
			link: this.open("a"),
			clock: this.clock,
			random: this.random,
			ledger: this.sourceLedger,
			...(this.lease === undefined || this.grant === undefined
				? {}
				: { lease: { lease: this.lease, grant: this.grant } }),
		};
		let seen = 0;
		const onProgress = ({ phase }: MoveProgress): void => {
			if (this.phases.at(-1) !== phase) this.phases.push(phase);
			if (phase === at?.phase && seen++ === (at.after ?? 0)) at.event();
		};
		const all = { moveId: "m1", checkpoints: { minMs: 2, maxMs: 20 }, ...options, onProgress };
		return technique === "hybrid" ? hybrid(services, all) : postCopy(services, all);
	}

	/** The source takes its guest back, and the referee looks at what it has. */
	async revive(paging: OwedPages, waitMs = 0): Promise<PostCopyResult> {
		const result = await paging.revive({ waitMs });
		if (result.outcome === "revived") this.#checkRevived();
		return result;
	}

	/** The target's process dies: nothing of it is left, and nothing that it holds is ever heard. */
	killTarget(): void {
		this.cut();
		for (const copy of this.copies.splice(1)) {
			copy.onOutput = undefined;
			void copy.discard();
		}
		this.receivers.clear();
		this.targetLedger = new MoveLedger("target");
	}

	/** What differs between a whole copy and what the steps have made. */
	compare(copy: MemoryGuest, steps: readonly Step[] = this.#steps): void {
		const pageCount = steps.at(-1)?.pageCount ?? PAGES;
		const expected = new Uint8Array(Math.max(pageCount, copy.pageCount) * PAGE_BYTES);
		expected.set(this.#initial);
		for (const { offset, word } of steps) expected.set(word, offset);
		new DataView(expected.buffer).setUint32(0, steps.length, true);
		const memory = copy.read(0, copy.pageCount * PAGE_BYTES);
		const at = memory.findIndex((byte, i) => byte !== expected[i]);
		if (at >= 0)
			this.violations.push(`page ${Math.floor(at / PAGE_BYTES)} is not what ${steps.length} steps have made`);
	}

	#checkRevived(): void {
		const reached = new DataView(this.guest.read(0, 4).buffer).getUint32(0, true);
		const last = Math.max(0, ...this.heard);
		if (last > reached) this.violations.push(`step ${last} was heard of, the revived guest is at ${reached}`);
		this.#steps = this.#steps.slice(0, reached);
		this.compare(this.guest);
		const state = new DataView(this.guest.getState().buffer);
		if (state.byteLength > 0 && state.getUint32(0, true) !== reached)
			this.violations.push(`the state is of step ${state.getUint32(0, true)}, the memory of ${reached}`);
	}

	protected override watch(guest: MemoryGuest): void {
		super.watch(guest);
		guest.onOutput = (bytes) => {
			const step = new DataView(bytes.buffer).getUint32(0, true);
			if (guest !== this.#speaker)
				this.violations.push(`step ${step} was said by a copy that does not run the guest any more`);
			this.heard.push(step);
		};
		const resume = guest.resume.bind(guest);
		guest.resume = async () => {
			// A target that runs takes the word; the source takes it back by a revive, or when the move is kept.
			this.#speaker = guest;
			await resume();
		};
		this.#speaker ??= guest;
	}

	/** Waits for what it needs, then does all of the step at once: a pause is before it or after it. */
	protected override async step(runner: MemoryGuest): Promise<void> {
		const pageCount = runner.pageCount;
		const offset = PAGE_BYTES + (this.random.nextU32() % (((pageCount - 1) * PAGE_BYTES) / 4)) * 4;
		await runner.touch(0, 4);
		await runner.touch(offset, 4);
		const number = this.#steps.length + 1;
		const word = new Uint8Array(Uint32Array.of(this.random.nextU32()).buffer);
		const counter = new Uint8Array(Uint32Array.of(number).buffer);
		runner.setState(counter);
		if (this.#options.grows && number % 40 === 0 && pageCount < PAGES * 2) runner.growMemory(pageCount + 1);
		runner.write(offset, word);
		runner.write(0, counter);
		this.#steps.push({ offset, word, pageCount: runner.pageCount });
		if (this.random.nextU32() % 3 === 0) runner.emit(counter);
	}
}
