/**
 * What is in a store, read and checked: manifests, page tables whose chains are resolved, resources, lists. Nothing that it
 * hands out has not been compared with all its checksums and with what refers to it.
 */
import type { Engine } from "../engine/engine.ts";
import { Hasher128 } from "../engine/hash.ts";
import { Lz4 } from "../engine/lz4.ts";
import { PAGE_BYTES } from "../ports/guest.ts";
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { MAX_RESOURCE_BYTES } from "../wire/limits.ts";
import { checkImageRecord, type ImageFrame, objectName, readFrame, readObject, type WholeObject } from "./image.ts";
import type { ObjectReference } from "./image-builder.ts";
import { SnapshotError } from "./image-error.ts";
import { manifestLimitBytes } from "./image-limits.ts";
import { PageTable } from "./image-table.ts";
import {
	type Description,
	type Manifest,
	type ManifestStart,
	PieceReader,
	readManifest,
	readManifestStart,
	type StoredResource,
} from "./manifest.ts";
import { PackReader } from "./pack-reader.ts";
import { PackRegistry } from "./pack-registry.ts";
import { PackWriter } from "./pack-writer.ts";
import type { ManifestSeal } from "./seal.ts";
import type { Heads, KeptHead } from "./store-heads.ts";
import type { ObjectAccess, PlainObjects } from "./store-objects.ts";

/** Bytes of a manifest that are read for its description and its packs: a guest of 100 GiB has all of them there. */
const START_BYTES: number = 384 * 1024;

/** A snapshot whose table is resolved. The table is shared: nobody changes it. */
export interface Resolved {
	readonly manifest: Manifest;
	readonly table: PageTable;
	/** Manifests of the chain, this one first. */
	readonly chain: readonly Manifest[];
}

/** What a catalog is made of. */
export interface CatalogParts {
	readonly heads: Heads;
	readonly plain: PlainObjects;
	readonly objects: ObjectAccess;
	readonly maximumPageCount: number;
	readonly seal: ManifestSeal;
	readonly engine: Engine;
}

/** See the head of this file. */
export class Catalog {
	readonly engine: Engine;
	readonly heads: Heads;
	/** Names, and deleting. */
	readonly plain: PlainObjects;
	readonly objects: ObjectAccess;
	readonly registry: PackRegistry = new PackRegistry();
	readonly packs: PackReader;
	readonly maximumPageCount: number;
	readonly seal: ManifestSeal;
	/** The table that was resolved or written last: the next snapshot of a history builds on it. */
	#latest: Resolved | undefined;
	#hasher: Hasher128 | undefined;
	#lz4: Lz4 | undefined;

	constructor({ engine, heads, plain, objects, maximumPageCount, seal }: CatalogParts) {
		this.engine = engine;
		this.heads = heads;
		this.plain = plain;
		this.objects = objects;
		this.maximumPageCount = maximumPageCount;
		this.seal = seal;
		this.packs = new PackReader(this.engine, objects, this.registry);
	}

	/** The digest of a guest with these pages and this state (wire/digest.ts), 32 hex digits. */
	digest(table: PageTable, state: Uint8Array): string {
		// The hash table's own method takes a new region of the engine each time, and this engine lives as long as the store.
		this.#hasher ??= new Hasher128(this.engine);
		this.#hasher.reset();
		this.#hasher.update(new Uint8Array(Uint32Array.of(table.pageCount, state.byteLength).buffer));
		this.#hasher.update(state);
		this.#hasher.update(table.hashes.rangeBytes(0, table.pageCount));
		return toHex(this.#hasher.digest());
	}

	/** Writes packs under a writer's name. @param expectedBytes - how much may come. */
	packWriter(creator: string, expectedBytes: number): PackWriter {
		const { engine, objects, registry, packs: reader } = this;
		const fingerprint = (bytes: Uint8Array<ArrayBuffer>) => this.seal.fingerprint(bytes);
		return new PackWriter({ engine, objects, registry, reader, fingerprint }, creator, expectedBytes);
	}

	/** A page that was stored as an LZ4 block. @throws Lz4Error */
	expand(block: Uint8Array): Uint8Array<ArrayBuffer> {
		this.#lz4 ??= new Lz4(this.engine);
		return this.#lz4.decode(block, PAGE_BYTES);
	}

	/** The snapshot of this id, with its table. @throws {SnapshotError} `missing`, `foreign`, or as {@link resolve}. */
	async resolveId(id: string, options: { readonly fresh?: boolean } = {}): Promise<Resolved> {
		const found = await this.heads.read(id);
		if (found?.head.phase !== "kept") throw new SnapshotError("missing", `there is no snapshot ${id}`);
		const { manifest, sequence } = found.head;
		const resolved = await this.resolve(manifest, options);
		checkHead({ id, sequence }, resolved.manifest.description, objectName(manifest.identity));
		return resolved;
	}

	/**
	 * A snapshot with its table.
	 * @param options.fresh - read it even if it is known.
	 * @throws {SnapshotError} for whatever is wrong with any manifest of the chain.
	 */
	async resolve(reference: ObjectReference, options: { readonly fresh?: boolean } = {}): Promise<Resolved> {
		const known = this.#latest?.manifest.reference.digest === reference.digest;
		if (known && this.#latest !== undefined && options.fresh !== true) return this.#latest;
		const chain = await this.#chain(reference);
		const manifest = chain[0]!;
		const { description } = manifest;
		let table: PageTable | undefined;
		for (const part of [...chain].reverse()) table = this.#apply(part, table);
		const found = this.digest(table!, manifest.state);
		if (found !== description.digest) {
			const object = objectName(reference.identity);
			throw new SnapshotError("digest", `pages and state have the digest ${found}, not ${description.digest}`, {
				object,
			});
		}
		return this.remember({ manifest, table: table!, chain });
	}

	/** The table of the next snapshot is likely to build on this one. */
	remember(resolved: Resolved): Resolved {
		this.#latest = resolved;
		return resolved;
	}

	/** @throws {SnapshotError} `too-large` for a guest of more pages than this side takes. */
	checkPageCount(pageCount: number, object?: string): void {
		if (pageCount <= this.maximumPageCount) return;
		const place = object === undefined ? {} : { object };
		throw new SnapshotError("too-large", `${pageCount} pages, at most ${this.maximumPageCount} are taken here`, place);
	}

	/** A whole manifest, checked. */
	async manifest(reference: ObjectReference): Promise<Manifest> {
		const object = objectName(reference.identity);
		const limit = manifestLimitBytes(this.maximumPageCount);
		if (reference.byteLength > limit)
			throw new SnapshotError("too-large", `the manifest has ${reference.byteLength} bytes, at most ${limit}`, {
				object,
			});
		const bytes = await this.objects.get(reference);
		const whole = readObject(this.engine, bytes, { ...reference.identity, digest: reference.digest });
		await this.seal.check(whole, bytes, object);
		const manifest = readManifest(whole, reference);
		const { layout } = manifest.description;
		if (layout.pageBytes !== PAGE_BYTES)
			throw new SnapshotError("corrupt", `pages of ${layout.pageBytes} bytes, not ${PAGE_BYTES}`, { object });
		this.checkPageCount(layout.pageCount, object);
		if (this.seal.isRequired && manifest.packs.some(({ sha256 }) => sha256 === undefined))
			throw new SnapshotError("signature", "names a pack without its SHA-256", { object });
		return manifest;
	}

	/** What a snapshot says of itself. @throws {SnapshotError} `foreign` for the manifest of another one. */
	async describe(id: string, head: KeptHead): Promise<Description> {
		const { description } = await this.manifestStart(head.manifest);
		checkHead({ id, sequence: head.sequence }, description, objectName(head.manifest.identity));
		return description;
	}

	/**
	 * {@link describe} for a head that others may move meanwhile.
	 * @returns `undefined` if the snapshot was deleted meanwhile. @throws as `describe`, for what the head names now.
	 */
	async describeNow(id: string, head: KeptHead): Promise<Description | undefined> {
		for (let last = head; ; ) {
			try {
				return await this.describe(id, last);
			} catch (error) {
				if (!(error instanceof SnapshotError) || error.code !== "missing") throw error;
				const now = await this.heads.read(id);
				if (now?.head.phase !== "kept") return undefined;
				if (objectName(now.head.manifest.identity) === objectName(last.manifest.identity)) throw error;
				last = now.head;
			}
		}
	}

	/** Description and packs of a manifest: one short read mostly, all of it where a signature has to be checked. */
	async manifestStart(reference: ObjectReference): Promise<ManifestStart> {
		if (this.seal.isRequired) return this.manifest(reference);
		const object = objectName(reference.identity);
		const length = Math.min(START_BYTES, reference.byteLength);
		const bytes = await this.objects.range(reference, 0, length);
		const frames: ImageFrame[] = [];
		for (let at = 0, sequence = 0; at + FRAME_HEADER_BYTES <= length; sequence++) {
			const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEADER_BYTES);
			if (at + FRAME_HEADER_BYTES + view.getUint32(12, true) > length) break;
			const frame = readFrame(this.engine, bytes, at, { object, sequence, offset: at });
			if (sequence === 0) checkImageRecord(frame, reference.identity, { object });
			else frames.push(frame);
			at += FRAME_HEADER_BYTES + frame.payload.byteLength;
		}
		return readManifestStart(frames, object) ?? (await this.manifest(reference));
	}

	/** The bytes of a resource, compared with its SHA-256. */
	async resource(resource: StoredResource): Promise<Uint8Array<ArrayBuffer>> {
		const object = objectName(resource.identity);
		const whole = readObject(this.engine, await this.objects.get(resource), {
			...resource.identity,
			digest: resource.digest,
		});
		const total = resourceTotal(whole, object);
		const pieces = new PieceReader("resource", total, object);
		for (const frame of whole.frames)
			if (pieces.take(frame) !== resource.hash)
				throw new SnapshotError("corrupt", "is a piece of another resource", { object, record: frame.record });
		const bytes = pieces.finish();
		if (toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) !== resource.hash)
			throw new SnapshotError("corrupt", "does not have the SHA-256 that its manifest names", { object });
		return bytes;
	}

	async #chain(reference: ObjectReference): Promise<Manifest[]> {
		const chain = [await this.manifest(reference)];
		for (let last = chain[0]!; last.description.base !== undefined; ) {
			const base = await this.manifest(last.description.base);
			const place = { object: objectName(last.reference.identity) };
			if (base.description.chain !== last.description.chain - 1)
				throw new SnapshotError("chain", "builds on a page table that is not the one below it", place);
			if (base.description.layout.pageCount > last.description.layout.pageCount)
				throw new SnapshotError("chain", "builds on the page table of a larger guest", place);
			chain.push(base);
			last = base;
		}
		return chain;
	}

	/** Applies a manifest's records to the table below it. */
	#apply({ reference, description, packs, tables }: Manifest, base: PageTable | undefined): PageTable {
		const table = base ?? new PageTable(this.engine, description.layout.pageCount);
		table.grow(description.layout.pageCount);
		const own = packs.map((pack) => ({ slot: this.registry.slotOf(pack), entries: pack.entries }));
		let next = 0;
		for (const { payload, record } of tables)
			next = table.decode(payload, own, next, { object: objectName(reference.identity), record });
		return table;
	}
}

function checkHead(head: Pick<Description, "id" | "sequence">, description: Description, object: string): void {
	if (description.id === head.id && description.sequence === head.sequence) return;
	throw new SnapshotError("foreign", `is the manifest of ${description.id}, not of ${head.id}`, { object });
}

function resourceTotal(whole: WholeObject, object: string): number {
	const first = whole.frames[0];
	if (first === undefined || first.payload.byteLength < 40)
		throw new SnapshotError("corrupt", "is no resource", { object });
	const total = new DataView(first.payload.buffer, first.payload.byteOffset).getUint32(36, true);
	const held = whole.frames.reduce((sum, { payload }) => sum + payload.byteLength, 0);
	if (total > MAX_RESOURCE_BYTES || total > held)
		throw new SnapshotError("corrupt", "says more bytes than it has", { object });
	return total;
}
