/**
 * The references of a snapshot store, and what they say. Everything else is immutable.
 *
 *   snapshots/heads/PLACE    free ─▶ writing ──(commit: one compare-and-set)──▶ kept ──(delete)──▶ free
 *                                       └────(abort; given up by a prune)──▶ free     kept ──(repacked, touched)──▶ kept
 *   snapshots/condemned      generation n ──▶ generation n + 1 …
 *
 *   PLACE     8 hex digits. An id is 24 random hex digits and the place of its head; the head says the whole id. Places
 *             are used again, since a folder store keeps two empty folders for each name that has ever been a reference
 *
 *   writing   `seen`: the generation of condemned objects that the writer knows; `beat` grows while it lives; `moves`: it is a
 *             prune that moves other heads, see prune-writers.ts
 *   kept      which manifest; `touched` grows when what somebody else has read here must not count any more
 *
 * A reservation and the snapshot that it becomes are one reference: whoever gives a writer up moves it, and the commit of a
 * writer that comes back finds another value and fails. Values are JSON texts of a few hundred bytes.
 */
import { type Store, StoreError } from "../ports/store.ts";
import { Fields } from "../wire/fields.ts";
import { identityOf, objectName } from "./image.ts";
import type { ObjectReference } from "./image-builder.ts";
import { SnapshotError, snapshotError } from "./image-error.ts";
import { ID_DIGITS } from "./manifest.ts";

const HEADS = "snapshots/heads/";
const CONDEMNED = "snapshots/condemned";
const ID = /^[0-9a-f]{32}$/;
const PLACE = /^[0-9a-f]{8}$/;
const PLACE_DIGITS = 8;
/** Heads that are read at once: a folder store answers each in a few system calls. */
const READS_AT_ONCE = 8;
/** Of what the references say. Another one means a store that this version must not touch. */
const FORMAT = 1;

/** What a head says. */
export type Head = WritingHead | KeptHead;

/** A writer's reservation, or a prune's. */
export interface WritingHead {
	readonly phase: "writing";
	readonly seen: number;
	readonly beat: number;
	readonly moves?: boolean;
}

/** The head of a snapshot. */
export interface KeptHead {
	readonly phase: "kept";
	readonly sequence: number;
	readonly manifest: ObjectReference;
	readonly touched?: number;
}

/** A head as it was read: `raw` is what a compare-and-set expects. */
export interface ReadHead {
	readonly id: string;
	readonly head: Head;
	readonly raw: Uint8Array<ArrayBuffer>;
}

/** What is said of condemned objects: which list, and its generation. Generation 0: nothing has ever been condemned. */
export interface Condemned {
	readonly generation: number;
	readonly list?: ObjectReference;
	readonly raw?: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class Heads {
	readonly #store: Store;

	constructor(store: Store) {
		this.#store = store;
	}

	/**
	 * All heads there are now.
	 * @param onUnreadable - is told of those that cannot be read; the rest is listed.
	 * @throws {SnapshotError} `corrupt`, `unsupported-version`, `failed`.
	 */
	async list(onUnreadable?: (error: SnapshotError, object: string) => void): Promise<readonly ReadHead[]> {
		const found: ReadHead[] = [];
		const places = await this.#places();
		const read = async (place: string): Promise<ReadHead | undefined> => {
			try {
				return await this.#readPlace(place);
			} catch (error) {
				if (onUnreadable === undefined || !(error instanceof SnapshotError)) throw error;
				onUnreadable(error, HEADS + place);
				return undefined;
			}
		};
		for (let from = 0; from < places.length; from += READS_AT_ONCE) {
			const some = places.slice(from, from + READS_AT_ONCE).map(read);
			for (const head of await Promise.all(some)) if (head !== undefined) found.push(head);
		}
		return found;
	}

	/** The head of this id; `undefined` if there is none. */
	async read(id: string): Promise<ReadHead | undefined> {
		const found = ID.test(id) ? await this.#readPlace(placeOf(id)) : undefined;
		return found?.id === id ? found : undefined;
	}

	/** Makes a writer's head in a place that is free. @param token - 24 random hex digits. */
	async claim(token: string, seen: number): Promise<ReadHead> {
		for (let after = -1; ; ) {
			const taken = new Set(await this.#places());
			let place = after + 1;
			while (taken.has(digitsOf(place))) place++;
			const id = token + digitsOf(place);
			const head = { phase: "writing", seen, beat: 0 } as const;
			const raw = await this.move(id, undefined, head);
			if (raw !== undefined) return { id, raw, head };
			after = place;
		}
	}

	/** Moves a head. @returns how it can be moved on, or `undefined` if somebody else was first. */
	async move(id: string, from: Uint8Array | undefined, to: Head): Promise<Uint8Array<ArrayBuffer> | undefined> {
		const raw = encodeHead(id, to);
		return (await this.#set(HEADS + placeOf(id), from, raw)) ? raw : undefined;
	}

	/** Gives the head of a snapshot another value that says the same: whoever expects the one before cannot move it. */
	async touch(id: string): Promise<void> {
		for (;;) {
			const found = await this.read(id);
			if (found?.head.phase !== "kept") return;
			const touched = (found.head.touched ?? 0) + 1;
			if ((await this.move(id, found.raw, { ...found.head, touched })) !== undefined) return;
		}
	}

	/** Removes a head. @returns whether it still said what the caller has seen. */
	remove(id: string, from: Uint8Array): Promise<boolean> {
		return this.#set(HEADS + placeOf(id), from, undefined);
	}

	async condemned(): Promise<Condemned> {
		const raw = await this.#do("cannot be read", () => this.#store.readReference(CONDEMNED), CONDEMNED);
		return raw === undefined ? { generation: 0 } : { ...decodeCondemned(raw), raw };
	}

	/** @returns whether nobody else was first. */
	moveCondemned(from: Condemned, to: Omit<Condemned, "raw">): Promise<boolean> {
		const { generation, list } = to;
		const json = { format: FORMAT, generation, ...(list === undefined ? {} : { list: referenceJson(list) }) };
		return this.#set(CONDEMNED, from.raw, new TextEncoder().encode(JSON.stringify(json)));
	}

	async #places(): Promise<readonly string[]> {
		const names = await this.#do("the heads cannot be listed", () => this.#store.listReferences(HEADS));
		return names.map((name) => name.slice(HEADS.length)).filter((place) => PLACE.test(place));
	}

	async #readPlace(place: string): Promise<ReadHead | undefined> {
		const name = HEADS + place;
		const raw = await this.#do("cannot be read", () => this.#store.readReference(name), name);
		if (raw === undefined) return undefined;
		const { id, head } = decodeHead(name, raw);
		if (placeOf(id) !== place)
			throw new SnapshotError("corrupt", `says that it is the head of ${id}`, { object: name });
		return { id, head, raw };
	}

	#set(name: string, from: Uint8Array | undefined, to: Uint8Array | undefined): Promise<boolean> {
		return this.#do("cannot be moved", () => this.#store.compareAndSetReference(name, from, to), name);
	}

	async #do<Value>(what: string, work: () => Promise<Value>, object?: string): Promise<Value> {
		const place = object === undefined ? {} : { object };
		try {
			return await work();
		} catch (error) {
			if (error instanceof StoreError && error.code === "invalid")
				throw new SnapshotError("corrupt", error.message, place, error);
			throw snapshotError(error, what, place);
		}
	}
}

const digitsOf = (place: number): string => place.toString(16).padStart(PLACE_DIGITS, "0");

const placeOf = (id: string): string => id.slice(-PLACE_DIGITS);

const referenceJson = ({ identity, byteLength, digest }: ObjectReference) => ({
	object: objectName(identity),
	byteLength,
	digest,
});

function encodeHead(id: string, head: Head): Uint8Array<ArrayBuffer> {
	const json = head.phase === "kept" ? { ...head, manifest: referenceJson(head.manifest) } : head;
	return new TextEncoder().encode(JSON.stringify({ format: FORMAT, id, ...json }));
}

function decodeHead(object: string, raw: Uint8Array): { readonly id: string; readonly head: Head } {
	return readJson(object, raw, (fields) => ({ id: fields.hex("id", ID_DIGITS), head: readHead(fields) }));
}

function readHead(fields: Fields): Head {
	if (fields.oneOf("phase", ["writing", "kept"]) === "writing")
		return {
			phase: "writing",
			seen: fields.integer("seen", 0, Number.MAX_SAFE_INTEGER),
			beat: fields.integer("beat", 0, Number.MAX_SAFE_INTEGER),
			...(fields.has("moves") ? { moves: fields.flag("moves") } : {}),
		};
	return {
		phase: "kept",
		sequence: fields.integer("sequence", 1, Number.MAX_SAFE_INTEGER),
		manifest: readReference(fields.object("manifest"), "manifest"),
		...(fields.has("touched") ? { touched: fields.integer("touched", 0, Number.MAX_SAFE_INTEGER) } : {}),
	};
}

const decodeCondemned = (raw: Uint8Array): Condemned =>
	readJson(CONDEMNED, raw, (fields) => ({
		generation: fields.integer("generation", 0, Number.MAX_SAFE_INTEGER),
		...(fields.has("list") ? { list: readReference(fields.object("list"), "list") } : {}),
	}));

function readReference(fields: Fields, role: "manifest" | "list"): ObjectReference {
	const identity = identityOf(fields.text("object", 200));
	if (identity?.role !== role) fields.fail("out-of-range", "object", `must be the name of a ${role}`);
	return {
		identity,
		byteLength: fields.integer("byteLength", 0, Number.MAX_SAFE_INTEGER),
		digest: fields.hex("digest", ID_DIGITS),
	};
}

function readJson<Value>(object: string, raw: Uint8Array, read: (fields: Fields) => Value): Value {
	try {
		const fields = new Fields("reference", JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw)));
		const format = fields.integer("format", 0, Number.MAX_SAFE_INTEGER);
		if (format !== FORMAT)
			throw new SnapshotError("unsupported-version", `says format ${format}, this side reads ${FORMAT}`, { object });
		return read(fields);
	} catch (error) {
		if (error instanceof SyntaxError || error instanceof TypeError)
			throw new SnapshotError("corrupt", "is not a JSON text in UTF-8", { object }, error);
		throw snapshotError(error, "cannot be read", { object });
	}
}
