/**
 * Reads everything that a snapshot is made of and compares it with everything that is known of it:
 *
 *   manifests of the chain   every frame, trailer, signature; the table that they come to, against the snapshot's digest
 *   resources                every frame, the SHA-256 that the layout names
 *   packs in use             every frame of the pack, the trailer's digest over their headers; every content against its
 *                            hash, in the engine; the index against the batches
 *   pages                    the hash in the table against that of the entry which the table names
 *
 * So one changed bit anywhere in any of these objects is found, whether this snapshot uses it or not.
 */
import { objectName } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import type { PageTable } from "./image-table.ts";
import type { PackIndex } from "./pack-index.ts";
import type { Catalog } from "./store-catalog.ts";
import { PackVerifier } from "./verify-packs.ts";

/** How far a verification is. */
export interface VerifyProgress {
	/** Bytes of packs that have been read, of those that will be. */
	readonly bytes: number;
	readonly totalBytes: number;
}

/** See {@link verifySnapshot}. */
export interface VerifyOptions {
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: VerifyProgress) => void;
}

/** What was verified. */
export interface Verified {
	/** Pages of the guest, zero ones included. */
	readonly pages: number;
	readonly storedPages: number;
	/** Bytes of all objects that were read. */
	readonly bytes: number;
	readonly packs: number;
}

/** See the head of this file. @throws {SnapshotError} naming the object, and the record or page that is wrong. */
export async function verifySnapshot(catalog: Catalog, id: string, options: VerifyOptions = {}): Promise<Verified> {
	const { manifest, table, chain } = await catalog.resolveId(id, { fresh: true });
	let bytes = chain.reduce((sum, { reference }) => sum + reference.byteLength, 0);
	for (const resource of manifest.description.resources) {
		options.signal?.throwIfAborted();
		await catalog.resource(resource);
		bytes += resource.byteLength;
	}
	const packs = new PackVerifier(catalog);
	const used = table.usedEntries();
	const totalBytes = [...used.keys()].reduce((sum, slot) => sum + catalog.registry.get(slot).byteLength, 0);
	let done = 0;
	for (const [slot, entries] of used) {
		const before = done;
		const index = await packs.verify(slot, options.signal, (read) => {
			options.onProgress?.({ bytes: before + read, totalBytes });
		});
		done += catalog.registry.get(slot).byteLength;
		checkPages(table, entries, index, objectName(catalog.registry.get(slot).identity));
		options.onProgress?.({ bytes: done, totalBytes });
	}
	const storedPages = table.countStored();
	if (storedPages !== manifest.description.storedPages)
		throw new SnapshotError("corrupt", `has ${storedPages} stored pages, not as many as it says`, {
			object: objectName(manifest.reference.identity),
		});
	return { pages: table.pageCount, storedPages, bytes: bytes + done, packs: used.size };
}

function checkPages(
	table: PageTable,
	used: readonly { readonly page: number; readonly entry: number }[],
	index: PackIndex,
	object: string,
): void {
	for (const { page, entry } of used)
		if (entry >= index.entries || table.hashes.firstDifference(page, index.hash(entry)) !== undefined)
			throw new SnapshotError("corrupt", `entry ${entry} has another content than the page table says`, {
				object,
				pageIndex: page,
			});
}
