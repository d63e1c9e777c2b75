/**
 * The packs that this process knows, by slot: a small number that page tables use instead of a name. Slots are never used
 * again, so a table stays valid whatever happens to the packs.
 *
 * A pack in a manifest, 80 bytes:
 *
 *   0                  16           20            24                 32               48                      80
 *   ┌──────────────────┬────────────┬─────────────┬──────────────────┬────────────────┬───────────────────────┐
 *   │ creator 16 bytes │ number u32 │ entries u32 │ byte length u64  │ trailer digest │ SHA-256, or 0         │
 *   └──────────────────┴────────────┴─────────────┴──────────────────┴────────────────┴───────────────────────┘
 */
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { fromHex, objectName } from "./image.ts";
import type { ObjectReference } from "./image-builder.ts";
import { type Place, SnapshotError } from "./image-error.ts";
import { INDEX_ENTRY_BYTES, MAX_PACK_BYTES, MAX_PACK_ENTRIES, MAX_TABLE_RECORD_BYTES } from "./image-limits.ts";

const PACK_BYTES = 80;
/** Packs that one packs record names at most. */
export const PACKS_OF_RECORD: number = Math.floor(MAX_TABLE_RECORD_BYTES / PACK_BYTES);

/** A pack as others refer to it. */
export interface PackReference extends ObjectReference {
	readonly entries: number;
	/** SHA-256 of the whole pack where manifests are signed, 64 hex digits. */
	readonly sha256?: string;
}

/** See the head of this file. */
export class PackRegistry {
	readonly #packs: PackReference[] = [];
	readonly #slots = new Map<string, number>();

	/** The slot of a pack. A pack of another digest under the same name is another pack. */
	slotOf(pack: PackReference): number {
		const key = keyOf(pack);
		const known = this.#slots.get(key);
		if (known !== undefined) return known;
		this.#slots.set(key, this.#packs.length);
		return this.#packs.push(pack) - 1;
	}

	/** A slot for a pack that is still being written; {@link settle} says what it has become. */
	open(): number {
		return this.#packs.push(UNFINISHED) - 1;
	}

	/** The pack of this open slot is finished. */
	settle(slot: number, pack: PackReference): void {
		this.#packs[slot] = pack;
		this.#slots.set(keyOf(pack), slot);
	}

	get(slot: number): PackReference {
		const pack = this.#packs[slot];
		if (pack === undefined || pack === UNFINISHED) throw new RangeError(`slot: ${slot} is no finished pack`);
		return pack;
	}
}

const UNFINISHED: PackReference = {
	identity: { role: "pack", creator: "0".repeat(32), number: 0 },
	byteLength: 0,
	digest: "",
	entries: 0,
};

const keyOf = ({ identity, digest, byteLength, entries, sha256 = "" }: PackReference): string =>
	`${objectName(identity)} ${digest} ${byteLength} ${entries} ${sha256}`;

/** The payload of a packs record. */
export function encodePacks(packs: readonly PackReference[]): Uint8Array<ArrayBuffer> {
	const payload = new Uint8Array(packs.length * PACK_BYTES);
	const view = new DataView(payload.buffer);
	for (const [i, { identity, entries, byteLength, digest, sha256 = "" }] of packs.entries()) {
		const at = i * PACK_BYTES;
		payload.set(fromHex(identity.creator), at);
		view.setUint32(at + 16, identity.number, true);
		view.setUint32(at + 20, entries, true);
		view.setBigUint64(at + 24, BigInt(byteLength), true);
		payload.set(fromHex(digest), at + 32);
		payload.set(fromHex(sha256), at + 48);
	}
	return payload;
}

/** @throws {SnapshotError} `corrupt`, `too-large`. */
export function decodePacks(payload: Uint8Array, place: Place): PackReference[] {
	if (payload.byteLength % PACK_BYTES !== 0) throw new SnapshotError("corrupt", "is no whole number of packs", place);
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	return Array.from({ length: payload.byteLength / PACK_BYTES }, (_, i) => {
		const at = i * PACK_BYTES;
		const entries = view.getUint32(at + 20, true);
		const byteLength = view.getBigUint64(at + 24, true);
		if (entries > MAX_PACK_ENTRIES || byteLength > BigInt(MAX_PACK_BYTES))
			throw new SnapshotError("too-large", `pack ${i} has ${entries} entries in ${byteLength} bytes`, place);
		if (byteLength < BigInt(entries * INDEX_ENTRY_BYTES + 3 * FRAME_HEADER_BYTES))
			throw new SnapshotError("corrupt", `pack ${i} is too small for its entries`, place);
		const sha256 = payload.subarray(at + 48, at + PACK_BYTES);
		return {
			identity: { role: "pack", creator: toHex(payload.subarray(at, at + 16)), number: view.getUint32(at + 16, true) },
			entries,
			byteLength: Number(byteLength),
			digest: toHex(payload.subarray(at + 32, at + 48)),
			...(sha256.every((byte) => byte === 0) ? {} : { sha256: toHex(sha256) }),
		};
	});
}
