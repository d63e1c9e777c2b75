/**
 * A manifest: all there is to say about one snapshot but the contents of its pages.
 *
 *   image · description · packs* · state+ · table* · trailer [· signature]
 *
 * The description is a JSON record (below). The page table is whole (`chain` 0), or says what differs from the table of the
 * manifest `base`, whose `chain` is one less: so a chain ends, and a cycle cannot even be written down.
 */
import type { GuestLayout } from "../ports/guest.ts";
import { Fields } from "../wire/fields.ts";
import { HASH_DIGITS, readFacts, readLayout } from "../wire/layout-fields.ts";
import {
	MAX_CHUNK_BYTES,
	MAX_CONTROL_BYTES,
	MAX_PAGE_COUNT,
	MAX_RESOURCE_BYTES,
	MAX_RESOURCES,
	MAX_STATE_BYTES,
} from "../wire/limits.ts";
import { IMAGE_TYPES, isOptional, RECORD_TYPES } from "../wire/record-types.ts";
import { decodeRecord, encodeRecord } from "../wire/records.ts";
import { GrowingBytes } from "./growing-bytes.ts";
import { type ImageFrame, identityOf, objectName, type WholeObject } from "./image.ts";
import type { ObjectBuilder, ObjectReference } from "./image-builder.ts";
import { type Place, SnapshotError, snapshotError } from "./image-error.ts";
import { MAX_CHAIN_LENGTH, MAX_LABEL_CHARACTERS } from "./image-limits.ts";
import { decodePacks, encodePacks, PACKS_OF_RECORD, type PackReference } from "./pack-registry.ts";

/** Hexadecimal digits of an id and of an XXH3-128. */
export const ID_DIGITS = 32;

/** Code that a snapshot's guest needs, and the object that holds it. */
export interface StoredResource extends ObjectReference {
	/** SHA-256, as the layout names it. */
	readonly hash: string;
}

/** What may follow a description, in this order. */
const MIDDLE_RECORDS: readonly number[] = [IMAGE_TYPES.packs, RECORD_TYPES.state, IMAGE_TYPES.table];

/** The JSON of a manifest. */
export interface Description {
	/** 32 hex digits. */
	readonly id: string;
	/** Snapshots of one store ascend in the order in which they were begun; writers at once may have the same number. */
	readonly sequence: number;
	/** The snapshot that this one was made after. It need not exist any more. */
	readonly parent?: string;
	/** Which clone of a guest it is: whatever the caller says. */
	readonly generation?: string;
	readonly label?: string;
	readonly layout: GuestLayout;
	/** Whatever the caller wants to know later. */
	readonly facts: Readonly<Record<string, string>>;
	/** XXH3-128 over size, state and page hashes (wire/digest.ts), 32 hex digits. */
	readonly digest: string;
	readonly stateByteLength: number;
	/** Pages that are not zero. */
	readonly storedPages: number;
	/** Bytes that this snapshot has added to the store, its manifest apart. */
	readonly addedBytes: number;
	/** Tables below this one. */
	readonly chain: number;
	readonly base?: ObjectReference;
	readonly resources: readonly StoredResource[];
}

/** A manifest as read. */
export interface Manifest {
	readonly reference: ObjectReference;
	readonly description: Description;
	readonly packs: readonly PackReference[];
	readonly state: Uint8Array<ArrayBuffer>;
	/** Payloads of the table records. Views. */
	readonly tables: readonly ImageFrame[];
}

/** What a manifest is made of. */
export interface ManifestParts {
	readonly description: Description;
	readonly packs: readonly PackReference[];
	readonly state: Uint8Array;
	readonly tables: readonly Uint8Array[];
}

/** Adds the records of a manifest, from the description on. @throws {SnapshotError} `too-large`. */
export function writeManifest(builder: ObjectBuilder, { description, packs, state, tables }: ManifestParts): void {
	builder.append(IMAGE_TYPES.description, encodeDescription(description));
	for (let from = 0; from < packs.length; from += PACKS_OF_RECORD)
		builder.append(IMAGE_TYPES.packs, encodePacks(packs.slice(from, from + PACKS_OF_RECORD)));
	for (const payload of statePieces(state)) builder.append(RECORD_TYPES.state, payload);
	for (const table of tables) builder.append(IMAGE_TYPES.table, table);
}

/** State as payloads of state records; an empty state is one. @throws {SnapshotError} `too-large`. */
export function statePieces(state: Uint8Array): Uint8Array[] {
	if (state.byteLength > MAX_STATE_BYTES)
		throw new SnapshotError(
			"too-large",
			`the state has ${state.byteLength} bytes, at most ${MAX_STATE_BYTES} are allowed`,
		);
	const pieces: Uint8Array[] = [];
	for (let offset = 0; offset === 0 || offset < state.byteLength; offset += MAX_CHUNK_BYTES) {
		const bytes = new Uint8Array(state.subarray(offset, offset + MAX_CHUNK_BYTES));
		pieces.push(encodeRecord({ type: "state", offset, total: state.byteLength, bytes }).payload);
	}
	return pieces;
}

/** The payload of a description. @throws {SnapshotError} `too-large`, or what a reader would not accept. */
export function encodeDescription(description: Description): Uint8Array<ArrayBuffer> {
	const { base, resources, ...rest } = description;
	const json = {
		...rest,
		...(base === undefined ? {} : { base: referenceJson(base) }),
		resources: resources.map((resource) => ({ hash: resource.hash, ...referenceJson(resource) })),
	};
	const payload = new TextEncoder().encode(JSON.stringify(json));
	if (payload.byteLength > MAX_CONTROL_BYTES)
		throw new SnapshotError(
			"too-large",
			`the description has ${payload.byteLength} bytes, at most ${MAX_CONTROL_BYTES}`,
		);
	decodeDescription(payload, {});
	return payload;
}

/** Reads a description and checks each field. */
export function decodeDescription(payload: Uint8Array, place: Place): Description {
	try {
		const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
		return readDescription(new Fields("description", JSON.parse(text)));
	} catch (error) {
		if (error instanceof SyntaxError || error instanceof TypeError)
			throw new SnapshotError("corrupt", "is not a JSON text in UTF-8", place, error);
		throw snapshotError(error, "cannot be read", place);
	}
}

function readDescription(fields: Fields): Description {
	const chain = fields.integer("chain", 0, MAX_CHAIN_LENGTH - 1);
	const resources = fields.objects("resources", MAX_RESOURCES).map((resource) => ({
		hash: resource.hex("hash", HASH_DIGITS),
		...readReference(resource, "resource"),
	}));
	const optional = (name: "generation" | "label") =>
		fields.has(name) ? { [name]: fields.text(name, MAX_LABEL_CHARACTERS) } : {};
	return {
		id: fields.hex("id", ID_DIGITS),
		sequence: fields.integer("sequence", 1, Number.MAX_SAFE_INTEGER),
		...(fields.has("parent") ? { parent: fields.hex("parent", ID_DIGITS) } : {}),
		...optional("generation"),
		...optional("label"),
		layout: readLayout(fields.object("layout")),
		facts: readFacts(fields),
		digest: fields.hex("digest", ID_DIGITS),
		stateByteLength: fields.integer("stateByteLength", 0, MAX_STATE_BYTES),
		storedPages: fields.integer("storedPages", 0, MAX_PAGE_COUNT),
		addedBytes: fields.integer("addedBytes", 0, Number.MAX_SAFE_INTEGER),
		chain,
		...(chain > 0 ? { base: readReference(fields.object("base"), "manifest") } : {}),
		resources,
	};
}

function readReference(fields: Fields, role: "manifest" | "resource"): ObjectReference {
	const identity = identityOf(fields.text("object", 200));
	if (identity?.role !== role) fields.fail("out-of-range", "object", `must be the name of a ${role}`);
	const limit = role === "resource" ? 2 * MAX_RESOURCE_BYTES : Number.MAX_SAFE_INTEGER;
	return {
		identity,
		byteLength: fields.integer("byteLength", 0, limit),
		digest: fields.hex("digest", ID_DIGITS),
	};
}

const referenceJson = ({ identity, byteLength, digest }: ObjectReference) => ({
	object: objectName(identity),
	byteLength,
	digest,
});

/** Description and packs, which come first: what a list and the directory of contents need. */
export interface ManifestStart {
	readonly description: Description;
	readonly packs: readonly PackReference[];
}

/** @returns `undefined` if the frames end before the packs do. */
export function readManifestStart(frames: readonly ImageFrame[], object: string): ManifestStart | undefined {
	const [first, ...rest] = frames;
	if (first === undefined) return undefined;
	if (first.type !== IMAGE_TYPES.description)
		throw new SnapshotError("corrupt", "has no description", { object, record: first.record });
	const description = decodeDescription(first.payload, { object, record: first.record });
	const end = rest.findIndex((frame) => frame.type !== IMAGE_TYPES.packs && !isOptional(frame.type));
	if (end < 0) return undefined;
	const packs = rest
		.slice(0, end)
		.filter((frame) => frame.type === IMAGE_TYPES.packs)
		.flatMap((frame) => decodePacks(frame.payload, { object, record: frame.record }));
	return { description, packs };
}

/**
 * The manifest in an object whose frames have been checked.
 * @throws {SnapshotError} `corrupt` naming the record.
 */
export function readManifest(whole: WholeObject, reference: ObjectReference): Manifest {
	const object = objectName(reference.identity);
	const [first, ...rest] = whole.frames;
	if (first?.type !== IMAGE_TYPES.description)
		throw new SnapshotError("corrupt", "has no description", { object, ...(first && { record: first.record }) });
	const description = decodeDescription(first.payload, { object, record: first.record });
	const packs: PackReference[] = [];
	const tables: ImageFrame[] = [];
	const state = new PieceReader("state", description.stateByteLength, object);
	let order = 0;
	for (const frame of rest) {
		const place = { object, record: frame.record };
		const rank = MIDDLE_RECORDS.indexOf(frame.type);
		if (rank < order) throw new SnapshotError("corrupt", "is not where a manifest may have it", place);
		order = rank;
		if (rank === 0) packs.push(...decodePacks(frame.payload, place));
		else if (rank === 1) state.take(frame);
		else tables.push(frame);
	}
	return { reference, description, packs, state: state.finish(), tables };
}

/** Puts pieces of state or of a resource together again. */
export class PieceReader {
	readonly #type: "state" | "resource";
	readonly #object: string;
	readonly #total: number;
	readonly #bytes: GrowingBytes;
	#hasBegun = false;

	/** @param total - what it must come to. */
	constructor(type: "state" | "resource", total: number, object: string) {
		this.#type = type;
		this.#total = total;
		this.#object = object;
		this.#bytes = new GrowingBytes(total);
	}

	/** Bytes so far. */
	get byteLength(): number {
		return this.#bytes.byteLength;
	}

	/** Takes the next piece, and copies it. @returns the hash that a resource's piece names. @throws {SnapshotError} `corrupt`. */
	take(frame: ImageFrame): string {
		const place = { object: this.#object, record: frame.record };
		let record: ReturnType<typeof decodeRecord>;
		try {
			record = decodeRecord({ type: frame.type, payload: frame.payload, checksum: frame.checksum });
		} catch (error) {
			throw snapshotError(error, "cannot be read", place);
		}
		if (record?.type !== this.#type || (record.type !== "state" && record.type !== "resource"))
			throw new SnapshotError("corrupt", `is no piece of a ${this.#type}`, place);
		const { total, offset, bytes } = record;
		if (total !== this.#total || offset !== this.byteLength || offset + bytes.byteLength > total)
			throw new SnapshotError("corrupt", "is not the next piece", place);
		if (bytes.byteLength === 0 && (total > 0 || this.#hasBegun))
			throw new SnapshotError("corrupt", "is an empty piece", place);
		this.#hasBegun = true;
		this.#bytes.append(bytes);
		return record.type === "resource" ? record.hash : "";
	}

	/** All of it. @throws {SnapshotError} `corrupt` if pieces are missing. */
	finish(): Uint8Array<ArrayBuffer> {
		if (this.byteLength !== this.#total || !this.#hasBegun)
			throw new SnapshotError("corrupt", `pieces of the ${this.#type} are missing`, { object: this.#object });
		return this.#bytes.take();
	}
}
