/**
 * Gives back the room of what nobody needs: snapshots that are not kept, what writers that died have left, and contents in
 * packs of which little is still in use. Any number of writers, readers and other prunes may be at work meanwhile.
 *
 *   1  reserve      a head of its own, as writers have
 *   2  list         objects first, heads then: what a living writer has made is known to be one's
 *   3  forget       heads of snapshots that are not kept; heads of writers that are dead
 *   4  mark         tables of all kept snapshots: what they need
 *   5  repack       contents of thin packs go into new packs; then the manifests that named them, new; then the heads, one
 *                   compare-and-set each. At every moment each head names a manifest whose every object is there
 *   6  condemn      what is not needed: the list is published, so that writers that begin from now on never refer to it
 *   7  look again   heads once more: a writer that began before 6 may have committed (then what it needs is spared) or may
 *                   still be writing (then what it could refer to waits for the next prune)
 *   8  delete       the rest of what is condemned; then the list without it
 *
 * Why this is safe: an object is deleted only if it was needed by no snapshot that step 7 saw, and if every writer that could
 * still commit had seen it condemned before it referred to anything. Deleting the same object twice is no error, so two
 * prunes at once do no harm; the later of two lists wins, and what the other one condemned is condemned again.
 */
import type { Clock } from "../ports/clock.ts";
import type { Random } from "../ports/random.ts";
import { IMAGE_TYPES } from "../wire/record-types.ts";
import { type Identity, objectName } from "./image.ts";
import { ObjectBuilder, type ObjectReference } from "./image-builder.ts";
import { SnapshotError } from "./image-error.ts";
import { MAX_CONDEMNED } from "./image-limits.ts";
import { type CondemnedItem, encodeCondemned, readCondemned } from "./prune-list.ts";
import { type Needs, needsOf } from "./prune-needs.ts";
import { type Repacked, repack } from "./prune-repack.ts";
import { giveUp, type WriterWatch } from "./prune-writers.ts";
import type { Catalog } from "./store-catalog.ts";
import type { KeptHead, ReadHead } from "./store-heads.ts";
import { infoOf, type SnapshotInfo } from "./store-info.ts";
import { Reservation } from "./store-reservation.ts";

/** See {@link pruneStore}. */
export interface PruneOptions {
	/** The ids of the snapshots to keep; all of them, if left out. */
	readonly keep?: Iterable<string> | ((snapshots: readonly SnapshotInfo[]) => Iterable<string>);
	/**
	 * Writers that are known to be dead, by id, or all there are. Without it a writer counts as dead once this store has
	 * seen no sign of life for a minute of its own clock, from one prune to a later one.
	 */
	readonly deadWriters?: Iterable<string> | "all";
	/** A pack of which less than this part is in use is packed anew; 0.5 if left out, 0 for never. */
	readonly repackBelow?: number;
	readonly signal?: AbortSignal;
}

/** What a prune has done. */
export interface Pruned {
	/** Ids of snapshots that are no more. */
	readonly deletedSnapshots: readonly string[];
	/** Objects that were removed. */
	readonly deletedObjects: number;
	/** Packs whose contents were packed anew. */
	readonly repackedPacks: number;
	/** Objects that nobody needs and that wait for writers under way. */
	readonly waitingObjects: number;
	/** Ids of those writers. */
	readonly writers: readonly string[];
}

/** What a prune works with. */
export interface PruneServices {
	readonly catalog: Catalog;
	readonly clock: Clock;
	readonly random: Random;
	readonly watch: WriterWatch;
	/** What is known of kept snapshots, by id; kept from one prune to the next. */
	readonly needs: Map<string, Needs>;
}

/** The head of a snapshot. */
interface Kept {
	readonly id: string;
	readonly head: KeptHead;
}

const ROLES_OF_OBJECTS = ["pack", "manifest", "resource", "list"] as const;
/** Times that a list is published again because another prune was first. */
const MAX_ATTEMPTS = 10;

/** See the head of this file. @throws {SnapshotError} for a snapshot that cannot be read: nothing is removed then. */
export async function pruneStore(services: PruneServices, options: PruneOptions = {}): Promise<Pruned> {
	const { catalog, clock, random } = services;
	const { reservation } = await Reservation.open(catalog.heads, { clock, random });
	let pruned: Pruned;
	try {
		pruned = await new Prune(services, options, reservation).run();
	} catch (error) {
		// Whoever has given this prune up may have removed what it was reading: then that is what happened.
		const isGone = error instanceof SnapshotError && error.code === "missing";
		const reason = isGone
			? await reservation.renew().then(
					() => error,
					(lost: unknown) => lost,
				)
			: error;
		await reservation.release().catch(() => undefined); // a later prune takes it for dead
		throw reason;
	}
	await reservation.release();
	return pruned;
}

class Prune {
	readonly #services: PruneServices;
	readonly #catalog: Catalog;
	readonly #options: PruneOptions;
	readonly #reservation: Reservation;
	/** What each kept head needs, by its id. It outlives the prune: what is known need not be read again. */
	readonly #needs: Map<string, Needs>;
	/** The generation of its own list. */
	#published: number | undefined;

	constructor(services: PruneServices, options: PruneOptions, reservation: Reservation) {
		this.#services = services;
		this.#catalog = services.catalog;
		this.#options = options;
		this.#reservation = reservation;
		this.#needs = services.needs;
	}

	async run(): Promise<Pruned> {
		const objects = await this.#listObjects();
		const deletedSnapshots = await this.#forget(await this.#readHeads());
		await this.#mark();
		const repacked = await this.#repack();
		const living = await this.#livingWriters();
		const garbage = objects.filter((identity) => !this.#isNeeded(identity) && !living.has(identity.creator));
		const items = await this.#condemn(garbage);
		const { waiting, deletable, writers } = await this.#judge(items);
		await this.#delete(deletable, items);
		return {
			deletedSnapshots,
			deletedObjects: deletable.length,
			repackedPacks: repacked.packs,
			waitingObjects: waiting,
			writers,
		};
	}

	async #listObjects(): Promise<Identity[]> {
		const lists = [];
		for (const role of ROLES_OF_OBJECTS) lists.push(await this.#catalog.plain.list(role));
		return lists.flat();
	}

	async #readHeads(): Promise<ReadHead[]> {
		this.#options.signal?.throwIfAborted();
		return (await this.#catalog.heads.list()).filter(({ id }) => id !== this.#reservation.id);
	}

	/** Step 3. @returns ids of snapshots that are no more. */
	async #forget(found: readonly ReadHead[]): Promise<string[]> {
		const { heads } = this.#catalog;
		const { watch } = this.#services;
		await giveUp(heads, watch.dead(found, this.#options.deadWriters));
		const { keep } = this.#options;
		if (keep === undefined) return [];
		const kept = found.flatMap(({ id, raw, head }) => (head.phase === "kept" ? [{ id, raw, head }] : []));
		const wanted = new Set(typeof keep === "function" ? keep(await this.#infos(kept)) : keep);
		const deleted = [];
		for (const { id, raw } of kept) if (!wanted.has(id) && (await heads.remove(id, raw))) deleted.push(id);
		return deleted;
	}

	async #infos(kept: readonly Kept[]): Promise<SnapshotInfo[]> {
		const infos = [];
		for (const { id, head } of kept) {
			const description = await this.#catalog.describeNow(id, head);
			if (description !== undefined) infos.push(infoOf(description));
		}
		return infos.sort((a, b) => a.sequence - b.sequence);
	}

	/** Steps 4 and 7: what all snapshots need that are kept now. @returns the heads. */
	async #mark(): Promise<ReadHead[]> {
		const found = await this.#readHeads();
		const present = new Set(found.map(({ id }) => id));
		for (const id of this.#needs.keys()) if (!present.has(id)) this.#needs.delete(id);
		for (const { id, head } of found) {
			await this.#reservation.renewIfDue();
			if (head.phase === "kept") await this.#markOne({ id, head });
			else this.#needs.delete(id);
		}
		return found;
	}

	async #markOne({ id, head }: Kept): Promise<void> {
		for (let manifest: ObjectReference = head.manifest; ; ) {
			if (this.#needs.get(id)?.manifest === objectName(manifest.identity)) return;
			try {
				this.#needs.set(id, needsOf(this.#catalog, await this.#catalog.resolve(manifest)));
				return;
			} catch (error) {
				// Another prune may have moved the head meanwhile, or somebody deleted the snapshot.
				const now = await this.#catalog.heads.read(id);
				if (now?.head.phase !== "kept") return;
				if (objectName(now.head.manifest.identity) === objectName(manifest.identity)) throw error;
				manifest = now.head.manifest;
			}
		}
	}

	#repack(): Promise<Repacked> {
		const { repackBelow = 0.5, signal } = this.#options;
		const services = { catalog: this.#catalog, reservation: this.#reservation };
		return repack(services, this.#needs, repackBelow, signal);
	}

	#isNeeded(identity: Identity): boolean {
		const name = objectName(identity);
		if (identity.creator === this.#reservation.id) return true;
		for (const needs of this.#needs.values()) if (needs.objects.has(name)) return true;
		return false;
	}

	async #livingWriters(): Promise<Set<string>> {
		const found = await this.#readHeads();
		return new Set(found.filter(({ head }) => head.phase === "writing").map(({ id }) => id));
	}

	/** Step 6. @returns everything that is condemned now. */
	async #condemn(garbage: readonly Identity[]): Promise<readonly CondemnedItem[]> {
		for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
			const before = await this.#catalog.heads.condemned();
			const generation = before.generation + 1;
			const old = (await readCondemned(this.#catalog, before)).filter(({ identity }) => !this.#isNeeded(identity));
			const known = new Set(old.map(({ name }) => name));
			const listName = before.list === undefined ? undefined : objectName(before.list.identity);
			const added = garbage
				.map((identity) => ({ identity, name: objectName(identity), generation }))
				.filter(({ name }) => !known.has(name) && name !== listName);
			const items = [...old, ...added].slice(0, MAX_CONDEMNED);
			if (added.length === 0 && before.list === undefined) return [];
			if (!(await this.#publish(before, generation, items))) continue;
			this.#published = generation;
			return items;
		}
		throw new SnapshotError("busy", "others prune the store at this moment; nothing was condemned");
	}

	/** Publishes a list, and removes the one before it. @returns whether nobody else was first. */
	async #publish(
		before: Awaited<ReturnType<Catalog["heads"]["condemned"]>>,
		generation: number,
		items: readonly CondemnedItem[],
	): Promise<boolean> {
		const { heads, plain, objects, engine } = this.#catalog;
		const identity = { role: "list", creator: this.#reservation.id, number: generation % 2 ** 32 } as const;
		let list: ObjectReference | undefined;
		if (items.length > 0) {
			const builder = new ObjectBuilder(engine, identity);
			builder.append(IMAGE_TYPES.condemned, encodeCondemned(items));
			const built = builder.finish();
			await objects.put(identity, built.bytes);
			list = { identity, byteLength: built.byteLength, digest: built.digest };
		}
		const won = await heads.moveCondemned(before, { generation, ...(list === undefined ? {} : { list }) });
		const useless = won ? before.list?.identity : list?.identity;
		if (useless !== undefined) await plain.delete(useless);
		return won;
	}

	/** Step 7. */
	async #judge(
		items: readonly CondemnedItem[],
	): Promise<{ readonly deletable: CondemnedItem[]; readonly waiting: number; readonly writers: string[] }> {
		const found = await this.#mark();
		const writers = found.flatMap(({ id, head }) => (head.phase === "writing" ? [{ id, seen: head.seen }] : []));
		const deletable: CondemnedItem[] = [];
		const blocking = new Set<string>();
		let waiting = 0;
		for (const item of items) {
			if (this.#isNeeded(item.identity)) continue;
			const unaware = writers.filter(({ seen }) => seen < item.generation);
			if (unaware.length === 0) deletable.push(item);
			else waiting++;
			for (const { id } of unaware) blocking.add(id);
		}
		return { deletable, waiting, writers: [...blocking] };
	}

	/** Step 8. */
	async #delete(deletable: readonly CondemnedItem[], items: readonly CondemnedItem[]): Promise<void> {
		for (const { identity } of deletable) {
			this.#options.signal?.throwIfAborted();
			await this.#catalog.plain.delete(identity);
		}
		const gone = new Set(deletable.map(({ name }) => name));
		const rest = items.filter(({ name, identity }) => !gone.has(name) && !this.#isNeeded(identity));
		const before = await this.#catalog.heads.condemned();
		const isOurs = before.generation === this.#published;
		// Another prune has published a list since: it says what it must, and the next one takes ours out of it.
		if (isOurs && rest.length < items.length) await this.#publish(before, before.generation + 1, rest);
	}
}
