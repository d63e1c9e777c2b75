/**
 * A writer's place in the store: as long as it is there, no prune removes what the writer may refer to.
 *
 *   1  read the generation g of condemned objects
 *   2  make the head `writing { seen: g }`
 *   3  read again what is condemned: the writer never refers to any of it
 *
 * A prune publishes what it condemns *first* and looks for writers *then*. So either the writer reads the list in step 3, or
 * the prune sees a writer that may not have, and deletes nothing that it could refer to (prune.ts).
 */
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import { toHex } from "../wire/digest.ts";
import type { ObjectReference } from "./image-builder.ts";
import { SnapshotError } from "./image-error.ts";
import type { Condemned, Heads } from "./store-heads.ts";

/** A living writer moves its head this often, in ms, while batches arrive: well within {@link EXPIRY_MS}. */
const RENEW_MS = 10_000;
/** A head that has not moved for so long, in ms of the observer's own clock, is a dead writer's. */
export const EXPIRY_MS = 60_000;

/** See the head of this file. */
export class Reservation {
	readonly id: string;
	readonly #heads: Heads;
	readonly #clock: Clock;
	#raw: Uint8Array<ArrayBuffer>;
	#beat = 0;
	#moves = false;
	readonly #seen: number;
	#renewedMs: number;
	/** The head is a snapshot now, and no business of the writer's any more. */
	#isKept = false;
	/** Moves of the head follow each other. */
	#moving: Promise<unknown> = Promise.resolve();

	private constructor(heads: Heads, clock: Clock, id: string, seen: number, raw: Uint8Array<ArrayBuffer>) {
		this.#heads = heads;
		this.#clock = clock;
		this.id = id;
		this.#seen = seen;
		this.#raw = raw;
		this.#renewedMs = clock.now();
	}

	/** Steps 1 to 3. @returns it, and what is condemned. */
	static async open(
		heads: Heads,
		{ clock, random }: { readonly clock: Clock; readonly random: Random },
	): Promise<{ readonly reservation: Reservation; readonly condemned: Condemned }> {
		const token = toHex(random.fill(new Uint8Array(12)));
		const { generation } = await heads.condemned();
		const { id, raw } = await heads.claim(token, generation);
		const reservation = new Reservation(heads, clock, id, generation, raw);
		return { reservation, condemned: await heads.condemned() };
	}

	/** Shows that the writer lives. @throws {SnapshotError} `expired`, `full`, `failed`. */
	renew(): Promise<void> {
		return this.#inTurn(async () => {
			const moves = this.#moves ? ({ moves: true } as const) : {};
			const next = { phase: "writing", seen: this.#seen, beat: ++this.#beat, ...moves } as const;
			this.#raw = this.#expect(await this.#heads.move(this.id, this.#raw, next));
			this.#renewedMs = this.#clock.now();
		});
	}

	/**
	 * Says that heads of snapshots are going to be moved by whoever has this place, from what has been read of them *before*:
	 * whoever gives it up then touches them first (prune-writers.ts). @throws as {@link renew}.
	 */
	announceMoves(): Promise<void> {
		this.#moves = true;
		return this.renew();
	}

	/** {@link renew} where it is time. */
	async renewIfDue(): Promise<void> {
		if (this.#clock.now() - this.#renewedMs >= RENEW_MS) await this.renew();
	}

	/** Becomes a snapshot: the one step that makes it visible. @throws {SnapshotError} `expired`, `full`, `failed`. */
	keep(sequence: number, manifest: ObjectReference): Promise<void> {
		return this.#inTurn(async () => {
			this.#raw = this.#expect(await this.#heads.move(this.id, this.#raw, { phase: "kept", sequence, manifest }));
			this.#isKept = true;
		});
	}

	/** Gives the place up. @returns whether it was still a reservation. @throws {SnapshotError} if that is not sure. */
	release(): Promise<boolean> {
		return this.#inTurn(async () => !this.#isKept && (await this.#heads.remove(this.id, this.#raw)));
	}

	#expect(raw: Uint8Array<ArrayBuffer> | undefined): Uint8Array<ArrayBuffer> {
		if (raw !== undefined) return raw;
		throw new SnapshotError("expired", `writer ${this.id} was taken for dead; what it has written is lost`);
	}

	#inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
		const turn = this.#moving.then(work, work);
		this.#moving = turn.catch(() => undefined); // whoever asked for the move sees its failure
		return turn;
	}
}
