/**
 * Writes batches into packs of about 32 MiB. While packs are on their way to the store the next is filled.
 *
 *   append ──▶ the open pack's buffer (the only copy) ── full ──▶ index, trailer ──▶ put ──▶ the buffer serves again
 *
 * Invariant: after a failed put nothing is ever tried again; every later call fails with the first failure.
 */
import type { Engine } from "../engine/engine.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { IMAGE_TYPES, RECORD_TYPES } from "../wire/record-types.ts";
import { ObjectBuilder } from "./image-builder.ts";
import { MAX_PACK_BYTES, MAX_PACK_ENTRIES, PACK_BYTES } from "./image-limits.ts";
import type { Location } from "./image-table.ts";
import type { BatchTable } from "./pack-batch.ts";
import { PackIndex } from "./pack-index.ts";
import type { PackReader } from "./pack-reader.ts";
import type { PackReference, PackRegistry } from "./pack-registry.ts";
import type { ObjectAccess } from "./store-objects.ts";

/**
 * Packs that may be on their way while one is filled: memory for three packs in all. One at a time leaves the medium idle
 * between a sync and the next write.
 */
const PACKS_UNDER_WAY = 2;
/** A guest of this size begins with whole buffers: growing one copies what is in it. */
const LARGE_GUEST_BYTES: number = 8 * 1024 * 1024;

/** What a pack writer works with. */
export interface PackServices {
	readonly engine: Engine;
	readonly objects: ObjectAccess;
	readonly registry: PackRegistry;
	readonly reader: PackReader;
	/** SHA-256 of a pack in hex where manifests are signed, else empty. */
	readonly fingerprint: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;
}

interface OpenPackState {
	readonly slot: number;
	readonly builder: ObjectBuilder;
	readonly index: PackIndex;
}

/** See the head of this file. */
export class PackWriter {
	readonly #services: PackServices;
	readonly #creator: string;
	readonly #isLarge: boolean;
	readonly #packs: PackReference[] = [];
	readonly #spare: Uint8Array<ArrayBuffer>[] = [];
	#open: OpenPackState | undefined;
	#number = 0;
	/** Packs on their way to the store. None of the promises ever rejects. */
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
		return this.#storedBytes + (this.#open?.builder.byteLength ?? 0);
	}

	/** Bytes of buffers that it holds. */
	get memoryBytes(): number {
		const open = this.#open === undefined ? [] : [this.#open.builder.buffer];
		return [...open, ...this.#spare].reduce((sum, buffer) => sum + buffer.byteLength, 0);
	}

	/**
	 * Adds a batch; its bytes are copied before anything is awaited that depends on the caller's buffer.
	 * @returns where its first page lies, and the index that has it; the others follow.
	 * @throws {SnapshotError} what storing an earlier pack has failed with.
	 */
	async append(batch: BatchTable, checksum: bigint): Promise<Location & { readonly index: PackIndex }> {
		this.#check();
		const room = PACK_BYTES - (this.#open?.builder.byteLength ?? 0);
		const isFull = FRAME_HEADER_BYTES + batch.bytes.byteLength > room;
		if (this.#open !== undefined && (isFull || this.#open.index.entries + batch.count > MAX_PACK_ENTRIES)) {
			if (this.#storing.length >= PACKS_UNDER_WAY) await this.#storing[0];
			this.#check();
			this.#close(this.#open);
		}
		const { slot, builder, index } = this.#openPack();
		const frameOffset = builder.append(RECORD_TYPES.batch, batch.bytes, checksum);
		return { slot, index, entry: index.append(frameOffset, batch) };
	}

	/** Resolves once every pack is durable. @throws {SnapshotError} the first failure. */
	async finish(): Promise<readonly PackReference[]> {
		this.#check();
		if (this.#open !== undefined) this.#close(this.#open);
		await Promise.all(this.#storing);
		this.#check();
		return this.#packs;
	}

	/** Resolves when nothing is on its way any more, whatever became of it. Nothing may be appended afterwards. */
	async settle(): Promise<void> {
		if (this.#open !== undefined) this.#services.reader.stored(this.#open.slot);
		this.#open = undefined;
		this.#failure ??= { error: new TypeError("this writer has ended") };
		await Promise.all(this.#storing);
	}

	/** How many packs may have been put: their names are the creator's, with the numbers below this one. */
	get begun(): number {
		return this.#number;
	}

	#openPack(): OpenPackState {
		if (this.#open !== undefined) return this.#open;
		const { engine, registry, reader } = this.#services;
		const identity = { role: "pack", creator: this.#creator, number: this.#number++ } as const;
		const builder = new ObjectBuilder(engine, identity, this.#spare.pop() ?? this.#newBuffer());
		const index = new PackIndex();
		const slot = registry.open();
		reader.opened(slot, { index, view: (offset, byteLength) => builder.view(offset, byteLength) });
		this.#open = { slot, builder, index };
		return this.#open;
	}

	#newBuffer(): Uint8Array<ArrayBuffer> | undefined {
		return this.#isLarge ? new Uint8Array(MAX_PACK_BYTES) : undefined;
	}

	/** Ends the pack and sends it on its way. */
	#close(pack: OpenPackState): void {
		const { builder, index, slot } = pack;
		builder.append(IMAGE_TYPES.index, index.payload);
		const built = builder.finish();
		this.#open = undefined;
		this.#storedBytes += built.byteLength;
		const store = async (): Promise<void> => {
			const { objects, registry, reader, fingerprint } = this.#services;
			try {
				const sha256 = await fingerprint(built.bytes);
				const { identity, byteLength, digest } = built;
				await objects.put(identity, built.bytes);
				const known = sha256 === "" ? {} : { sha256 };
				const reference = { identity, byteLength, digest, entries: index.entries, ...known };
				registry.settle(slot, reference);
				this.#packs.push(reference);
			} catch (error) {
				this.#failure ??= { error };
			} finally {
				reader.stored(slot);
				this.#spare.push(builder.buffer);
			}
		};
		const storing: Promise<void> = store().finally(() => {
			this.#storing.splice(this.#storing.indexOf(storing), 1);
		});
		this.#storing.push(storing);
	}

	#check(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}
}
