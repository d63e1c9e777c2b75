/** What a snapshot says of itself without being opened. */
import type { GuestLayout } from "../ports/guest.ts";
import type { Description } from "./manifest.ts";

/** See the head of this file. */
export interface SnapshotInfo {
	/** 32 hex digits. */
	readonly id: string;
	/** Ascends in the order in which a store's snapshots were begun; writers at once may have the same number. */
	readonly sequence: number;
	/** The snapshot it was made after. It need not exist any more. */
	readonly parent?: string;
	readonly generation?: string;
	readonly label?: string;
	readonly layout: GuestLayout;
	readonly pageCount: number;
	/** Pages that are not zero. */
	readonly storedPages: number;
	/** Bytes that it added to the store, its manifest apart; what it shares was there. */
	readonly addedBytes: number;
	readonly stateByteLength: number;
	/** XXH3-128 over size, state and page hashes (wire/digest.ts), 32 hex digits. */
	readonly digest: string;
	readonly facts: Readonly<Record<string, string>>;
}

/** The info in a description. */
export function infoOf(description: Description): SnapshotInfo {
	const { chain: _chain, base: _base, resources: _resources, ...info } = description;
	return { ...info, pageCount: description.layout.pageCount };
}
