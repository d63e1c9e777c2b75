/** What one kept snapshot needs: its objects, and which entries of which packs. */
import { objectName } from "./image.ts";
import type { Catalog, Resolved } from "./store-catalog.ts";

/** See the head of this file. */
export interface Needs {
	/** Name of the manifest that the head named. */
	readonly manifest: string;
	/** Names of all objects that a restore of the snapshot reads. */
	readonly objects: ReadonlySet<string>;
	/** Entries in use by the slot of their pack: one bit each. */
	readonly entries: ReadonlyMap<number, Uint8Array>;
}

/** What a resolved snapshot needs. */
export function needsOf(catalog: Catalog, { manifest, table, chain }: Resolved): Needs {
	const objects = new Set<string>();
	for (const { reference } of chain) objects.add(objectName(reference.identity));
	for (const { identity } of manifest.description.resources) objects.add(objectName(identity));
	const entries = new Map<number, Uint8Array>();
	for (const [slot, used] of table.usedEntries()) {
		const pack = catalog.registry.get(slot);
		objects.add(objectName(pack.identity));
		entries.set(slot, bitsOf(pack.entries, used));
	}
	return { manifest: objectName(manifest.reference.identity), objects, entries };
}

/** Entries of a pack as a set. @param count - how many the pack has. */
export function bitsOf(count: number, used: Iterable<{ readonly entry: number }>): Uint8Array {
	const bits = new Uint8Array(Math.ceil(count / 8));
	for (const { entry } of used) bits[entry >>> 3]! |= 1 << (entry & 7);
	return bits;
}

/** Entries in use by anybody, by the slot of their pack. */
export function union(all: Iterable<Needs>): Map<number, Uint8Array> {
	const entries = new Map<number, Uint8Array>();
	for (const needs of all)
		for (const [slot, bits] of needs.entries) {
			const known = entries.get(slot);
			if (known === undefined) entries.set(slot, bits.slice());
			else for (let i = 0; i < bits.byteLength; i++) known[i]! |= bits[i]!;
		}
	return entries;
}

/** Whether an entry is in a set. */
export const hasEntry = (bits: Uint8Array, entry: number): boolean => ((bits[entry >>> 3]! >>> (entry & 7)) & 1) === 1;
