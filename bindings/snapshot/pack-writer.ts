/**
 * Writes batches into packs of about 32 MiB. While packs become durable the next one is filled.
 *
 *   append ──▶ header, batch ──▶ the open pack's body (pack-body.ts) ── full ──▶ index, trailer ──▶ durable
 *
 * Invariant: after a failure nothing is ever tried again; every later call fails with the first failure.
 */
import type { Engine } from "../engine/engine.ts";
import { hash64, hash128 } from "../engine/hash.ts";
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES, type Hash64 } from "../wire/frame.ts";
import { IMAGE_TYPES, RECORD_TYPES } from "../wire/record-types.ts";
import { encodeImageRecord, encodeTrailer, hashIn, type Identity, imageHeader, objectName } from "./image.ts";
import { MAX_PACK_BYTES, MAX_PACK_ENTRIES, PACK_BYTES } from "./image-limits.ts";
import type { Location } from "./image-table.ts";
import type { BatchTable } from "./pack-batch.ts";
import { BufferedBody, ChunkPool, type PackBody, StreamedBody } from "./pack-body.ts";
import { PackIndex } from "./pack-index.ts";
import type { PackReader } from "./pack-reader.ts";
import type { PackReference, PackRegistry } from "./pack-registry.ts";
import type { ObjectAccess } from "./store-objects.ts";

/** Packs that may become durable while one is filled: one at a time would leave the medium idle between two syncs. */
const PACKS_UNDER_WAY = 2;
/** A guest of this size begins with whole buffers where packs are buffered: growing one copies what is in it. */
const LARGE_GUEST_BYTES: number = 8 * 1024 * 1024;
const SMALL_BUFFER_BYTES = 64 * 1024;

/** What a pack writer works with. */
export interface PackServices {
	readonly engine: Engine;
	readonly objects: ObjectAccess;
	readonly registry: PackRegistry;
	readonly reader: PackReader;
	/** SHA-256 of a pack in hex where manifests are signed, else empty. */
	readonly fingerprint: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;
}

/** See the head of this file. */
export class PackWriter {
	readonly #services: PackServices;
	readonly #creator: string;
	readonly #isLarge: boolean;
	readonly #packs: PackReference[] = [];
	readonly #chunks = new ChunkPool();
	#open: OpenPack | undefined;
	#number = 0;
	/** Packs on their way to the medium. None of the promises ever rejects. */
	readonly #storing: Promise<void>[] = [];
	#failure: { readonly error: unknown } | undefined;
	#storedBytes = 0;

	/**
	 * @param creator - the id that the packs' names carry.
	 * @param expectedBytes - how much may come: the size of the guest.
	 */
	constructor(services: PackServices, creator: string, expectedBytes: number) {
		this.#services = services;
		this.#creator = creator;
		this.#isLarge = expectedBytes >= LARGE_GUEST_BYTES;
	}

	/** Packs that have been finished. */
	get packs(): readonly PackReference[] {
		return this.#packs;
	}

	/** Bytes of all packs so far. */
	get byteLength(): number {
		return this.#storedBytes + (this.#open?.byteLength ?? 0);
	}

	/** Bytes of buffers that it holds. */
	get memoryBytes(): number {
		return this.#chunks.byteLength + (this.#open?.index.memoryBytes ?? 0);
	}

	/**
	 * Adds a batch. The caller's bytes may change once it resolves.
	 * @returns where its first page lies, and the index that has it; the others follow.
	 * @throws {SnapshotError} what storing this or an earlier pack has failed with.
	 */
	append(batch: BatchTable, checksum: bigint): Promise<Location & { readonly index: PackIndex }> {
		return this.#remembering(async () => {
			const room = PACK_BYTES - (this.#open?.byteLength ?? 0);
			const isFull = FRAME_HEADER_BYTES + batch.bytes.byteLength > room;
			if (this.#open !== undefined && (isFull || this.#open.index.entries + batch.count > MAX_PACK_ENTRIES)) {
				if (this.#storing.length >= PACKS_UNDER_WAY) await this.#storing[0];
				this.#check();
				await this.#close(this.#open);
			}
			this.#open ??= await this.#openPack();
			const { slot, index } = this.#open;
			const frameOffset = await this.#open.append(RECORD_TYPES.batch, batch.bytes, checksum);
			return { slot, index, entry: index.append(frameOffset, batch) };
		});
	}

	/** Resolves once every pack is durable. @throws {SnapshotError} the first failure. */
	finish(): Promise<readonly PackReference[]> {
		return this.#remembering(async () => {
			if (this.#open !== undefined) await this.#close(this.#open);
			await Promise.all(this.#storing);
			this.#check();
			return this.#packs;
		});
	}

	/** Resolves when nothing is on its way any more, whatever became of it. Nothing may be appended afterwards. */
	async settle(): Promise<void> {
		this.#failure ??= { error: new TypeError("this writer has ended") };
		const open = this.#open;
		this.#open = undefined;
		if (open !== undefined) {
			this.#services.reader.stored(open.slot);
			await open.body.abandon();
		}
		await Promise.all(this.#storing);
	}

	/** How many packs may have been stored: their names are the creator's, with the numbers below this one. */
	get begun(): number {
		return this.#number;
	}

	async #openPack(): Promise<OpenPack> {
		const { engine, registry, reader, objects } = this.#services;
		const identity = { role: "pack", creator: this.#creator, number: this.#number++ } as const;
		const writer = await objects.create(identity);
		const body = writer === undefined ? this.#buffered(identity) : new StreamedBody(writer, this.#chunks);
		const slot = registry.open();
		const pack = new OpenPack({ engine, identity, body, slot });
		await pack.append(IMAGE_TYPES.image, encodeImageRecord(identity));
		const read = (offset: number, byteLength: number) => body.read(offset, byteLength);
		reader.opened(slot, { object: objectName(identity), index: pack.index, read });
		return pack;
	}

	#buffered(identity: Identity): BufferedBody {
		const { objects, fingerprint } = this.#services;
		const store = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> => {
			const sha256 = await fingerprint(bytes);
			await objects.put(identity, bytes);
			return sha256;
		};
		return new BufferedBody(store, this.#isLarge ? MAX_PACK_BYTES : SMALL_BUFFER_BYTES);
	}

	/** Ends the pack and sends it on its way. */
	async #close(pack: OpenPack): Promise<void> {
		const { slot, index, body, identity } = pack;
		const digest = await pack.end();
		const { byteLength } = pack;
		this.#open = undefined;
		this.#storedBytes += byteLength;
		const store = async (): Promise<void> => {
			const { registry, reader } = this.#services;
			try {
				const sha256 = await body.finish();
				const known = sha256 === "" ? {} : { sha256 };
				const reference = { identity, byteLength, digest, entries: index.entries, ...known };
				registry.settle(slot, reference);
				this.#packs.push(reference);
				reader.stored(slot, index);
			} catch (error) {
				this.#failure ??= { error };
				reader.stored(slot);
				await body.abandon();
			}
		};
		const storing: Promise<void> = store().finally(() => {
			this.#storing.splice(this.#storing.indexOf(storing), 1);
		});
		this.#storing.push(storing);
	}

	async #remembering<Value>(work: () => Promise<Value>): Promise<Value> {
		this.#check();
		try {
			return await work();
		} catch (error) {
			this.#failure ??= { error };
			throw error;
		}
	}

	#check(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}
}

interface OpenPackParts {
	readonly engine: Engine;
	readonly identity: Identity;
	readonly body: PackBody;
	readonly slot: number;
}

/** The pack that is filled: its frames, and what its index and trailer will say. */
class OpenPack {
	readonly slot: number;
	readonly body: PackBody;
	readonly identity: Identity;
	readonly index: PackIndex = new PackIndex();
	readonly #engine: Engine;
	readonly #hash: Hash64;
	readonly #headers: Uint8Array[] = [];
	#byteLength = 0;
	#lastFrameBytes = 0;

	constructor({ engine, identity, body, slot }: OpenPackParts) {
		this.#engine = engine;
		this.#hash = hashIn(engine);
		this.identity = identity;
		this.body = body;
		this.slot = slot;
	}

	/** Bytes so far. */
	get byteLength(): number {
		return this.#byteLength;
	}

	/** Adds a frame. @param checksum - of the payload, where it is known. @returns where its header begins. */
	async append(type: number, payload: Uint8Array, checksum: bigint = hash64(this.#engine, payload)): Promise<number> {
		const sequence = this.#headers.length;
		const header = imageHeader(this.#hash, { type, sequence, payloadByteLength: payload.byteLength, checksum });
		const at = this.#byteLength;
		this.#headers.push(header);
		this.#lastFrameBytes = FRAME_HEADER_BYTES + payload.byteLength;
		this.#byteLength += this.#lastFrameBytes;
		await this.body.append(header);
		await this.body.append(payload);
		return at;
	}

	/** Adds index and trailer. @returns the trailer's digest in hex. */
	async end(): Promise<string> {
		await this.append(IMAGE_TYPES.index, this.index.payload);
		const headers = new Uint8Array(this.#headers.length * FRAME_HEADER_BYTES);
		for (const [i, header] of this.#headers.entries()) headers.set(header, i * FRAME_HEADER_BYTES);
		const digest = toHex(hash128(this.#engine, headers));
		await this.append(IMAGE_TYPES.trailer, encodeTrailer(this.#engine, headers, this.#lastFrameBytes));
		return digest;
	}
}
