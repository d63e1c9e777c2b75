/**
 * Two hosts on a simulated network with a memory guest at one of them: what the worlds of post-copy have in common. Every copy
 * that comes into being is known here, and more than one that runs is a violation.
 */
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import type { MoveLedger, SourceWord, TargetWord } from "../../bindings/handover/ledger.ts";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated, type SimulatedConnection } from "../../bindings/lab/simulated-stream.ts";
import type { StreamFault } from "../../bindings/lab/stream-faults.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import type { ReceivedPages } from "../../bindings/migration/paging-reception.ts";
import type { OwedPages, PostCopyResult } from "../../bindings/migration/results.ts";
import { type ReceiveOptions, type ReceiveResult, receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { GuestError, type GuestLayout } from "../../bindings/ports/guest.ts";
import type { Lease } from "../../bindings/ports/lease.ts";

const engine = createEngine();
const LINK_OPTIONS = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };

/** Pages of the guest; it may grow to twice as many. */
export const PAGES = 64;

export interface TwoHostsOptions {
	readonly seed: number;
	/** Bytes per ms; 4 MB/s by default, so that paging takes tens of virtual ms. */
	readonly rateBytesPerMs?: number;
	readonly latencyMs?: number;
	readonly faults?: readonly StreamFault[];
	readonly receive?: ReceiveOptions;
}

/** See the head of this file. */
export abstract class TwoHosts {
	readonly clock = new VirtualClock(systemClock);
	readonly guest: MemoryGuest = new MemoryGuest({ pageCount: PAGES, maximumPageCount: PAGES * 2 });
	readonly phases: (MovePhase | "done")[] = [];
	readonly receptions: Promise<ReceiveResult>[] = [];
	/** Receptions that wait for recoveries at the target. */
	readonly receivers = new Map<string, ReceivedPages>();
	readonly violations: string[] = [];
	readonly copies: MemoryGuest[] = [];
	readonly random: SeededRandom;
	readonly lease: Lease | undefined;
	connection: SimulatedConnection;
	abstract readonly sourceLedger: MoveLedger<SourceWord>;
	abstract targetLedger: MoveLedger<TargetWord>;
	/** The test has ended: the program need not go on. */
	protected isOver = false;
	readonly #network: TwoHostsOptions;

	constructor(options: TwoHostsOptions) {
		this.#network = options;
		this.random = new SeededRandom(options.seed);
		this.connection = this.#connect(options.faults ?? []);
	}

	/** Copies that run now. */
	get runners(): readonly MemoryGuest[] {
		return this.copies.filter(({ running }) => running);
	}

	/** The copy at the target; the last one, if there were several. */
	get target(): MemoryGuest {
		return this.copies[this.copies.length - 1]!;
	}

	/** Runs `main` in virtual time with `strands` of the program at work, a step every `everyMs`, wherever the guest runs. */
	protected async runBeside<T>(main: () => Promise<T>, strands: number, everyMs: number): Promise<T> {
		const work = async (): Promise<void> => {
			while (!this.isOver) {
				const [runner] = this.runners;
				if (runner !== undefined) await this.step(runner).catch(expectStop);
				await this.clock.sleep(everyMs);
			}
		};
		return this.clock.run(async () => {
			for (let strand = 0; strand < strands; strand++) void work();
			try {
				return await main();
			} finally {
				this.isOver = true;
			}
		});
	}

	/** One step of the guest's program. */
	protected abstract step(runner: MemoryGuest): Promise<void>;

	/** Serves the connection's far end at the target. */
	listen(): void {
		const services = {
			link: this.open("b"),
			clock: this.clock,
			ledger: this.targetLedger,
			factories: [this.#factory()],
			receptions: this.receivers,
			...(this.lease === undefined ? {} : { lease: this.lease }),
		};
		this.receptions.push(receiveGuest(services, this.#network.receive));
	}

	/** Goes on over a fresh connection. */
	recover(paging: OwedPages, faults: readonly StreamFault[] = []): Promise<PostCopyResult> {
		this.reconnect(faults);
		this.listen();
		return paging.recover(this.open("a"));
	}

	reconnect(faults: readonly StreamFault[] = []): void {
		this.connection = this.#connect(faults);
	}

	/** Drops the connection now. */
	cut(): void {
		this.connection.inject({ kind: "cut", when: { atMs: 0 } });
	}

	/** One end stops for ever. */
	freeze(end: "a" | "b"): void {
		this.connection.inject({ kind: "freeze", when: { atMs: 0 }, end, durationMs: Number.POSITIVE_INFINITY });
	}

	/** A link over one end of the connection. */
	open(end: "a" | "b"): StreamLink {
		const link = new StreamLink(this.connection[end], LINK_OPTIONS);
		link.opened.catch(() => undefined); // the move sees it as the link's end
		return link;
	}

	/** A copy has come into being: also the first, which the world's own constructor gives. */
	protected watch(guest: MemoryGuest): void {
		this.copies.push(guest);
		const resume = guest.resume.bind(guest);
		guest.resume = async () => {
			await resume();
			if (this.runners.length > 1) this.violations.push(`${this.runners.length} copies run at ${this.clock.now()} ms`);
		};
	}

	#connect(faults: readonly StreamFault[]): SimulatedConnection {
		const { rateBytesPerMs = 4000, latencyMs = 0.5 } = this.#network;
		return connectSimulated(this.clock, { rateBytesPerMs, latencyMs, bufferBytes: 16_384, faults });
	}

	#factory(): MemoryGuestFactory {
		const factory = new MemoryGuestFactory(this.clock, PAGES * 2);
		const setUp = factory.setUp.bind(factory);
		factory.setUp = async (layout: GuestLayout) => {
			const prepared = await setUp(layout);
			this.watch(prepared.guest);
			return prepared;
		};
		return factory;
	}
}

/** The copy was paused or discarded under the program: it goes on wherever the guest runs next. */
function expectStop(error: unknown): void {
	if (!(error instanceof GuestError) || !["not-running", "gone"].includes(error.code)) throw error;
}
