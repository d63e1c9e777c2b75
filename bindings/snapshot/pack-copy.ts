/** Copies stored contents into other packs: payloads stay as they are stored, only those that are wanted come along. */
import { MAX_BATCH_PAGES } from "../ports/guest.ts";
import { objectName } from "./image.ts";
import type { Location } from "./image-table.ts";
import { assembleBatch, BatchTable } from "./pack-batch.ts";
import { spansOf } from "./pack-reader.ts";
import type { PackWriter } from "./pack-writer.ts";
import { hasEntry } from "./prune-needs.ts";
import type { Catalog } from "./store-catalog.ts";

/** What to copy: entries of one pack, one bit each. */
export interface WantedEntries {
	readonly slot: number;
	readonly bits: Uint8Array;
}

/** Any page: a stored batch keeps page numbers that mean nothing where contents are looked up by entry. */
const ANY_PAGE = 0xffff_ffff;

/**
 * See the head of this file. Nothing is durable before the writer is finished.
 * @param onBatch - called before each batch.
 * @returns the new place of each entry that was wanted.
 * @throws {SnapshotError} for a pack that cannot be read, or new ones that cannot be written.
 */
export async function copyEntries(
	catalog: Catalog,
	{ slot, bits }: WantedEntries,
	writer: PackWriter,
	onBatch: () => Promise<void>,
	signal?: AbortSignal,
): Promise<ReadonlyMap<number, Location>> {
	const { engine, registry, packs } = catalog;
	const places = new Map<number, Location>();
	const spans = spansOf(await packs.index(slot)).filter(({ first, count }) => anyOf(bits, first, count));
	for await (const { span, frame } of packs.frames(slot, spans, { signal })) {
		await onBatch();
		const table = new BatchTable(frame.bytes, ANY_PAGE, { object: objectName(registry.get(slot).identity) });
		const wanted = Array.from({ length: span.count }, (_, i) => i).filter((i) => hasEntry(bits, span.first + i));
		const parts = wanted.slice(0, MAX_BATCH_PAGES).map((i) => table.part(i));
		const batch = assembleBatch(engine, parts);
		const at = await writer.append(new BatchTable(batch.bytes, ANY_PAGE), batch.checksum);
		for (const [position, i] of wanted.entries())
			places.set(span.first + i, { slot: at.slot, entry: at.entry + position });
	}
	return places;
}

function anyOf(bits: Uint8Array, first: number, count: number): boolean {
	for (let entry = first; entry < first + count; entry++) if (hasEntry(bits, entry)) return true;
	return false;
}
