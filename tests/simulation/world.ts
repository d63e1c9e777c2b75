/**
 * A small world for moves: one guest that keeps writing, a source and a target host, a simulated network between them,
 * and a referee that looks at every step whether a promise is broken. Everything runs in virtual time from one seed.
 */
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveLedger, type SourceWord, type TargetWord } from "../../bindings/handover/ledger.ts";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated, type SimulatedConnection } from "../../bindings/lab/simulated-stream.ts";
import type { StreamFault } from "../../bindings/lab/stream-faults.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import type { MoveProgress } from "../../bindings/migration/metrics.ts";
import type { MoveResult } from "../../bindings/migration/move.ts";
import { type PreCopyOptions, preCopy } from "../../bindings/migration/pre-copy.ts";
import { type Resolution, resolveMove } from "../../bindings/migration/resolve.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { type ReceiveOptions, type ReceiveResult, receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Lease, LeaseGrant } from "../../bindings/ports/lease.ts";
import type { Link } from "../../bindings/ports/link.ts";

const engine = createEngine();
export const LINK_OPTIONS = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };

/** Pages of the world's guest: enough for several windows of frames, little enough for thousands of runs. */
export const PAGES = 48;

/** What a world is made of. */
export interface WorldOptions {
	readonly seed: number;
	/** Bytes per ms; 4 MB/s by default, so that a move takes tens of virtual ms. */
	readonly rateBytesPerMs?: number;
	readonly latencyMs?: number;
	readonly faults?: readonly StreamFault[];
	/** Ledgers survive in a store. */
	readonly durable?: boolean;
	readonly lease?: Lease;
	readonly receive?: ReceiveOptions;
	/** Pages that the guest writes each ms. */
	readonly writesPerMs?: number;
	/** Called with each target before it takes anything: to break it on purpose. */
	readonly onTarget?: (guest: MemoryGuest) => void;
}

/** See the head of this file. */
export class World {
	readonly clock = new VirtualClock(systemClock);
	readonly guest: MemoryGuest;
	readonly phases: (MovePhase | "done")[] = [];
	readonly receptions: Promise<ReceiveResult>[] = [];
	connection: SimulatedConnection;
	targetLedger: MoveLedger<TargetWord>;
	readonly sourceLedger: MoveLedger<SourceWord>;
	/** What the referee has seen. */
	readonly violations: string[] = [];
	/** Guests that could run: the source's, then every target's. */
	readonly copies: MemoryGuest[] = [];
	readonly random: SeededRandom;
	readonly #options: WorldOptions;
	readonly #store = new MemoryStore();
	/** The source's memory when it was paused last. */
	#atPause: Uint8Array | undefined;
	#over = false;
	#writes = 0;

	constructor(options: WorldOptions) {
		this.#options = options;
		this.random = new SeededRandom(options.seed);
		this.guest = this.#watch(new MemoryGuest({ pageCount: PAGES, maximumPageCount: PAGES * 2 }));
		this.guest.write(0, this.random.fill(new Uint8Array((PAGES - 4) * PAGE_BYTES))); // the rest stays zero
		const store = options.durable ? this.#store : undefined;
		this.targetLedger = new MoveLedger("target", store);
		this.sourceLedger = new MoveLedger("source", store);
		this.connection = this.#connect(options.faults ?? []);
	}

	/** Runs `main` in virtual time with the guest at work, and stops everything afterwards. */
	async run<T>(main: () => Promise<T>): Promise<T> {
		return this.clock.run(async () => {
			const work = this.#work();
			try {
				return await main();
			} finally {
				this.#over = true;
				await work;
			}
		});
	}

	/** Starts a target on the connection's far end, and the move from its near end. */
	async move(
		technique: "stop-and-copy" | "pre-copy",
		options: PreCopyOptions = {},
		at?: { phase: MovePhase; event: () => void },
	): Promise<MoveResult> {
		const { lease } = this.#options;
		const grant: LeaseGrant | undefined = lease === undefined ? undefined : await lease.acquire();
		this.listen(new StreamLink(this.connection.b, LINK_OPTIONS));
		const link = new StreamLink(this.connection.a, LINK_OPTIONS);
		link.opened.catch(() => undefined); // the move sees it as the link's end
		const services = {
			guest: this.guest,
			link,
			clock: this.clock,
			random: this.random,
			ledger: this.sourceLedger,
			...(lease === undefined || grant === undefined ? {} : { lease: { lease, grant } }),
		};
		let happened = false;
		let fraction = 0;
		const onProgress = (progress: MoveProgress): void => {
			if (this.phases.at(-1) !== progress.phase) this.phases.push(progress.phase);
			if (progress.fraction < fraction)
				this.violations.push(`progress ran backwards: ${fraction} to ${progress.fraction}`);
			fraction = progress.fraction;
			if (progress.phase !== at?.phase || happened) return;
			happened = true;
			at.event();
		};
		const all = { moveId: "m1", ...options, onProgress };
		return technique === "pre-copy"
			? preCopy(services, { downtimeLimitMs: 5, ...all, whenNotConverging: "switch-over" })
			: stopAndCopy(services, all);
	}

	/** Serves a link at the target. */
	listen(link: StreamLink): void {
		link.opened.catch(() => undefined);
		const { lease, receive } = this.#options;
		const services = {
			link,
			clock: this.clock,
			ledger: this.targetLedger,
			factories: [this.#factory()],
			...(lease === undefined ? {} : { lease }),
		};
		this.receptions.push(receiveGuest(services, receive));
	}

	/** A fresh connection without faults, and the question what became of the move. */
	async resolve(moveId = "m1"): Promise<Resolution> {
		this.connection = this.#connect([]);
		this.listen(new StreamLink(this.connection.b, LINK_OPTIONS));
		const link: Link = new StreamLink(this.connection.a, LINK_OPTIONS);
		const { lease } = this.#options;
		const services = {
			guest: this.guest,
			clock: this.clock,
			ledger: this.sourceLedger,
			...(lease === undefined ? {} : { lease }),
		};
		return resolveMove(services, link, moveId);
	}

	/** A new connection for another attempt. */
	reconnect(): void {
		this.connection = this.#connect([]);
	}

	/** The target's process dies and starts again: its copies are gone, and so is a ledger that was only in memory. */
	restartTarget(): void {
		for (const copy of this.copies.splice(1)) void copy.discard();
		this.targetLedger = new MoveLedger("target", this.#options.durable ? this.#store : undefined);
	}

	/** Copies that run now. */
	get runners(): readonly MemoryGuest[] {
		return this.copies.filter(({ running }) => running);
	}

	#connect(faults: readonly StreamFault[]): SimulatedConnection {
		const { rateBytesPerMs = 4000, latencyMs = 0.5 } = this.#options;
		return connectSimulated(this.clock, { rateBytesPerMs, latencyMs, faults });
	}

	#factory(): MemoryGuestFactory {
		const factory = new MemoryGuestFactory(this.clock, PAGES * 2);
		const setUp = factory.setUp.bind(factory);
		factory.setUp = async (layout) => {
			const prepared = await setUp(layout);
			this.#watch(prepared.guest);
			this.#options.onTarget?.(prepared.guest);
			return prepared;
		};
		return factory;
	}

	/** Lets the referee see every pause and resume of a copy. */
	#watch(guest: MemoryGuest): MemoryGuest {
		this.copies.push(guest);
		const { pause, resume } = guest;
		guest.pause = async () => {
			await pause.call(guest);
			if (guest === this.guest) this.#atPause = guest.read(0, guest.pageCount * PAGE_BYTES);
		};
		guest.resume = async () => {
			if (guest !== this.guest && !guest.running) this.#compareAtActivation(guest);
			await resume.call(guest);
			this.#look();
		};
		return guest;
	}

	#compareAtActivation(copy: MemoryGuest): void {
		const here = copy.read(0, copy.pageCount * PAGE_BYTES);
		const there = this.#atPause ?? new Uint8Array(0);
		if (here.byteLength !== there.byteLength)
			this.violations.push(`activated with ${here.byteLength} of ${there.byteLength} bytes`);
		else if (here.some((byte, at) => byte !== there[at]))
			this.violations.push("activated with other memory than the source had at its pause");
	}

	#look(): void {
		if (this.runners.length > 1) this.violations.push(`${this.runners.length} copies run at ${this.clock.now()} ms`);
	}

	/** The guest's program, wherever it runs: random writes, each ms. */
	async #work(): Promise<void> {
		const { writesPerMs = 2 } = this.#options;
		while (!this.#over) {
			this.#look();
			const [runner] = this.runners;
			for (let i = 0; runner !== undefined && i < writesPerMs; i++) {
				const offset = this.random.nextU32() % (runner.pageCount * PAGE_BYTES - 4);
				runner.write(offset, new Uint8Array(Uint32Array.of(++this.#writes).buffer));
			}
			await this.clock.sleep(1);
		}
	}
}
