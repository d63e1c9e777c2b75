/**
 * Packs contents anew whose packs have become thin, and makes the manifests that name them anew.
 *
 * Order: new packs durable → for each snapshot, parents first: its new manifest durable → its head moved by compare-and-set.
 * A head that somebody else has moved or removed meanwhile is left alone. Stored payloads are copied as they are.
 */
import { MAX_BATCH_PAGES } from "../ports/guest.ts";
import { objectName } from "./image.ts";
import type { Location } from "./image-table.ts";
import { assembleBatch, type BatchPart, BatchTable } from "./pack-batch.ts";
import { spansOf } from "./pack-reader.ts";
import { PackWriter } from "./pack-writer.ts";
import { hasEntry, type Needs, needsOf, union } from "./prune-needs.ts";
import type { Catalog, Resolved } from "./store-catalog.ts";
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
	const { objects, registry, packs: reader } = catalog;
	const { engine } = catalog;
	const fingerprint = (bytes: Uint8Array<ArrayBuffer>) => catalog.seal.fingerprint(bytes);
	const writer = new PackWriter({ engine, objects, registry, reader, fingerprint }, reservation.id, 0);
	const moves = new Map<number, Map<number, Location>>();
	try {
		for (const slot of thin) {
			const bits = used.get(slot)!;
			const index = await reader.index(slot);
			const spans = spansOf(index).filter(({ first, count }) => anyOf(bits, first, count));
			const places = new Map<number, Location>();
			for await (const { span, frame } of reader.frames(slot, spans, { signal })) {
				await reservation.renewIfDue();
				const table = new BatchTable(frame.bytes, 0xffff_ffff, { object: objectName(registry.get(slot).identity) });
				const wanted = Array.from({ length: span.count }, (_, i) => i).filter((i) => hasEntry(bits, span.first + i));
				const parts: BatchPart[] = wanted.slice(0, MAX_BATCH_PAGES).map((i) => table.part(i));
				const batch = assembleBatch(engine, parts);
				const at = await writer.append(new BatchTable(batch.bytes, 0xffff_ffff), batch.checksum);
				for (const [position, i] of wanted.entries())
					places.set(span.first + i, { slot: at.slot, entry: at.entry + position });
			}
			moves.set(slot, places);
		}
		await writer.finish();
		return moves;
	} finally {
		await writer.settle();
	}
}

function anyOf(bits: Uint8Array, first: number, count: number): boolean {
	for (let entry = first; entry < first + count; entry++) if (hasEntry(bits, entry)) return true;
	return false;
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
	const moved = new Map<string, Resolved>();
	let number = 0;
	for (const id of await inOrder(catalog, needs)) {
		signal?.throwIfAborted();
		const own = needs.get(id);
		const read = await catalog.heads.read(id);
		if (own === undefined || read?.head.phase !== "kept") continue;
		if (objectName(read.head.manifest.identity) !== own.manifest) continue; // somebody else has moved it
		if (![...own.entries.keys()].some((slot) => thin.has(slot))) continue;
		await reservation.renewIfDue();
		const { manifest, table } = await catalog.resolve(read.head.manifest);
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
		const { sequence } = read.head;
		if (
			(await catalog.heads.move(id, read.raw, { phase: "kept", sequence, manifest: next.manifest.reference })) ===
			undefined
		)
			continue;
		moved.set(id, next);
		needs.set(id, needsOf(catalog, next));
	}
	return moved.size;
}

/** Ids by the order in which the snapshots were begun: a parent comes before its children. */
async function inOrder(catalog: Catalog, needs: ReadonlyMap<string, Needs>): Promise<string[]> {
	const sequences: { readonly id: string; readonly sequence: number }[] = [];
	for (const id of needs.keys()) {
		const read = await catalog.heads.read(id);
		if (read?.head.phase === "kept") sequences.push({ id, sequence: read.head.sequence });
	}
	return sequences.sort((a, b) => a.sequence - b.sequence).map(({ id }) => id);
}
