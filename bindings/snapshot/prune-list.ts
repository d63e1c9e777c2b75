/**
 * The list of condemned objects: nobody who has seen it refers to one of them.
 *
 *   0            4                        + per item
 *   ┌────────────┬────────────────────────────────────────────────────────────────────────────┐
 *   │ items u32  │ generation u32 · role u16 · 0 u16 · creator 16 bytes · number u32          │ 28 bytes each
 *   └────────────┴────────────────────────────────────────────────────────────────────────────┘
 *
 * The generation is the one in which the object was condemned: a writer that has seen it, or a later one, knows.
 */
import { toHex } from "../wire/digest.ts";
import { IMAGE_TYPES } from "../wire/record-types.ts";
import { fromHex, type Identity, objectName, ROLES, type Role, readObject } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { MAX_CONDEMNED } from "./image-limits.ts";
import type { Catalog } from "./store-catalog.ts";
import type { Condemned } from "./store-heads.ts";

const PREFIX_BYTES = 4;
const ITEM_BYTES = 28;
/** Bytes of a whole list at most, with its frames. */
const MAX_LIST_BYTES: number = PREFIX_BYTES + MAX_CONDEMNED * ITEM_BYTES + 256;

/** One condemned object. */
export interface CondemnedItem {
	readonly name: string;
	readonly identity: Identity;
	readonly generation: number;
}

/** The payload of a condemned record. */
export function encodeCondemned(items: readonly CondemnedItem[]): Uint8Array<ArrayBuffer> {
	const payload = new Uint8Array(PREFIX_BYTES + items.length * ITEM_BYTES);
	const view = new DataView(payload.buffer);
	view.setUint32(0, items.length, true);
	for (const [i, { identity, generation }] of items.entries()) {
		const at = PREFIX_BYTES + i * ITEM_BYTES;
		view.setUint32(at, generation, true);
		view.setUint16(at + 4, ROLES[identity.role], true);
		payload.set(fromHex(identity.creator), at + 8);
		view.setUint32(at + 24, identity.number, true);
	}
	return payload;
}

/** @throws {SnapshotError} `corrupt`. */
function decodeCondemned(payload: Uint8Array, object: string): CondemnedItem[] {
	const place = { object, record: "condemned" };
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const count = payload.byteLength < PREFIX_BYTES ? -1 : view.getUint32(0, true);
	if (payload.byteLength !== PREFIX_BYTES + count * ITEM_BYTES)
		throw new SnapshotError("corrupt", "has another length than its count says", place);
	return Array.from({ length: count }, (_, i) => {
		const at = PREFIX_BYTES + i * ITEM_BYTES;
		const role = roleOf(view.getUint16(at + 4, true));
		if (role === undefined) throw new SnapshotError("corrupt", `item ${i} has no role`, place);
		const identity: Identity = {
			role,
			creator: toHex(payload.subarray(at + 8, at + 24)),
			number: view.getUint32(at + 24, true),
		};
		return { identity, name: objectName(identity), generation: view.getUint32(at, true) };
	});
}

/** What is condemned now. */
export async function readCondemned(catalog: Catalog, condemned: Condemned): Promise<readonly CondemnedItem[]> {
	for (let now = condemned; ; ) {
		if (now.list === undefined) return [];
		const object = objectName(now.list.identity);
		if (now.list.byteLength > MAX_LIST_BYTES)
			throw new SnapshotError("too-large", `the list has ${now.list.byteLength} bytes, at most ${MAX_LIST_BYTES}`, {
				object,
			});
		try {
			const bytes = await catalog.objects.get(now.list);
			const whole = readObject(catalog.engine, bytes, { ...now.list.identity, digest: now.list.digest });
			const [frame] = whole.frames;
			if (frame?.type !== IMAGE_TYPES.condemned || whole.frames.length !== 1)
				throw new SnapshotError("corrupt", "is no list of condemned objects", { object });
			return decodeCondemned(frame.payload, object);
		} catch (error) {
			// A prune that has gone on has removed the old list: the new one says all that still matters.
			const next = await catalog.heads.condemned();
			const hasMoved = error instanceof SnapshotError && error.code === "missing" && next.generation !== now.generation;
			if (!hasMoved) throw error;
			now = next;
		}
	}
}

function roleOf(number: number): Role | undefined {
	for (const role of ["pack", "manifest", "resource", "list"] as const) if (ROLES[role] === number) return role;
	return undefined;
}
