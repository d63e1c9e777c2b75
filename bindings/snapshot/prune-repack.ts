/**
 * Packs contents anew whose packs have become thin, and makes the manifests that name them anew.
 *
 * Order: new packs durable → all heads read → the reservation renewed, with the word that it moves heads → for each snapshot,
 * parents first: its new manifest durable → its head moved by compare-and-set from what was read.
 * A head that somebody else has moved, touched or removed meanwhile is left alone. Stored payloads are copied as they are.
 *
 * Heads are read before the renewal: a prune that sleeps and is given up finds its reservation gone, or every head touched
 * (prune-writers.ts). In neither case does it point one to what was removed as a dead writer's.
 */
import { objectName } from "./image.ts";
import type { Location } from "./image-table.ts";
import { copyEntries } from "./pack-copy.ts";
import { hasEntry, type Needs, needsOf, union } from "./prune-needs.ts";
import type { Catalog, Resolved } from "./store-catalog.ts";
import type { KeptHead } from "./store-heads.ts";
import type { Reservation } from "./store-reservation.ts";
import { storeManifest } from "./store-writer.ts";

/** What was done. */
export interface Repacked {
	/** Packs whose contents have new places. */
	readonly packs: number;
	/** Heads that were moved. */
	readonly heads: number;
}

/** What repacking works with. */
export interface RepackServices {
	readonly catalog: Catalog;
	readonly reservation: Reservation;
}

/** See the head of this file. @param needs - brought up to date for heads that were moved. */
export async function repack(
	services: RepackServices,
	needs: Map<string, Needs>,
	below: number,
	signal?: AbortSignal,
): Promise<Repacked> {
	const used = union(needs.values());
	const thin = await thinPacks(services.catalog, used, below, signal);
	if (thin.length === 0) return { packs: 0, heads: 0 };
	const moves = await copyContents(services, used, thin, signal);
	const heads = await moveHeads(services, needs, new Set(thin), moves, signal);
	return { packs: thin.length, heads };
}

/** Slots of packs of whose contents less than the part `below` is in use. */
async function thinPacks(
	catalog: Catalog,
	used: ReadonlyMap<number, Uint8Array>,
	below: number,
	signal: AbortSignal | undefined,
): Promise<number[]> {
	const thin: number[] = [];
	for (const [slot, bits] of used) {
		signal?.throwIfAborted();
		const index = await catalog.packs.index(slot);
		let live = 0;
		let all = 0;
		for (let entry = 0; entry < index.entries; entry++) {
			all += index.byteLength(entry);
			if (hasEntry(bits, entry)) live += index.byteLength(entry);
		}
		if (live < below * all) thin.push(slot);
	}
	return thin;
}

/** Where contents have gone: by slot, the new place of each entry. */
type Moves = ReadonlyMap<number, ReadonlyMap<number, Location>>;

async function copyContents(
	{ catalog, reservation }: RepackServices,
	used: ReadonlyMap<number, Uint8Array>,
	thin: readonly number[],
	signal: AbortSignal | undefined,
): Promise<Moves> {
	const writer = catalog.packWriter(reservation.id, 0);
	const moves = new Map<number, ReadonlyMap<number, Location>>();
	try {
		for (const slot of thin) {
			const wanted = { slot, bits: used.get(slot)! };
			moves.set(slot, await copyEntries(catalog, wanted, writer, () => reservation.renewIfDue(), signal));
		}
		await writer.finish();
		return moves;
	} finally {
		await writer.settle();
	}
}

/** @returns how many heads were moved. */
async function moveHeads(
	services: RepackServices,
	needs: Map<string, Needs>,
	thin: ReadonlySet<number>,
	moves: Moves,
	signal: AbortSignal | undefined,
): Promise<number> {
	const { catalog, reservation } = services;
	const found = await inOrder(catalog, needs);
	await reservation.announceMoves();
	const moved = new Map<string, Resolved>();
	let number = 0;
	for (const { id, raw, head } of found) {
		signal?.throwIfAborted();
		const own = needs.get(id);
		if (own === undefined || objectName(head.manifest.identity) !== own.manifest) continue; // somebody else has moved it
		if (![...own.entries.keys()].some((slot) => thin.has(slot))) continue;
		await reservation.renewIfDue();
		const { manifest, table } = await catalog.resolve(head.manifest);
		const copy = table.copy(catalog.engine);
		copy.relocate(({ slot, entry }) => moves.get(slot)?.get(entry));
		const { base: _base, chain: _chain, ...common } = manifest.description;
		const next = await storeManifest(catalog, {
			identity: { role: "manifest", creator: reservation.id, number: number++ },
			common,
			state: manifest.state,
			table: copy,
			parent: common.parent === undefined ? undefined : moved.get(common.parent),
		});
		const to = { phase: "kept", sequence: head.sequence, manifest: next.manifest.reference } as const;
		if ((await catalog.heads.move(id, raw, to)) === undefined) continue;
		moved.set(id, next);
		needs.set(id, needsOf(catalog, next));
	}
	return moved.size;
}

/** A snapshot's head as it was read. */
interface ReadKept {
	readonly id: string;
	readonly raw: Uint8Array;
	readonly head: KeptHead;
}

/** Heads by the order in which the snapshots were begun: a parent comes before its children. */
async function inOrder(catalog: Catalog, needs: ReadonlyMap<string, Needs>): Promise<ReadKept[]> {
	const found: ReadKept[] = [];
	for (const id of needs.keys()) {
		const read = await catalog.heads.read(id);
		if (read?.head.phase === "kept") found.push({ id, raw: read.raw, head: read.head });
	}
	return found.sort((a, b) => a.head.sequence - b.head.sequence);
}
