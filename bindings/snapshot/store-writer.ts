/**
 * Writes one snapshot: a sink for pages, then a commit.
 *
 *   begin ─▶ accept* / grow* ─▶ commit ─▶ kept          reservation · packs · manifest · one compare-and-set
 *               └───────── abort, or any failure ─▶ nothing is visible
 *
 * Pages that are never accepted are those of the parent, or zero without one. A page that is accepted again counts as it was
 * last: what was written before stays in its pack until a prune.
 *
 * A content that is in the store already is not written again. Its hash says where it may be, its bytes decide.
 */
import type { Engine } from "../engine/engine.ts";
import { hash128 } from "../engine/hash.ts";
import { Lz4Error } from "../engine/lz4.ts";
import type { Clock } from "../ports/clock.ts";
import { type EncodedBatch, type GuestLayout, PAGE_BYTES, type PageBatch } from "../ports/guest.ts";
import type { PageSink } from "../rounds/page-sink.ts";
import { type PageHashTable, toHex } from "../wire/digest.ts";
import { MAX_CHUNK_BYTES, MAX_RESOURCE_BYTES } from "../wire/limits.ts";
import { RECORD_TYPES } from "../wire/record-types.ts";
import { encodeRecord } from "../wire/records.ts";
import { type Identity, objectName } from "./image.ts";
import { ObjectBuilder, type ObjectReference } from "./image-builder.ts";
import { SnapshotError } from "./image-error.ts";
import { MAX_CHAIN_LENGTH } from "./image-limits.ts";
import { type Location, PageTable } from "./image-table.ts";
import { type Description, type Manifest, type StoredResource, writeManifest } from "./manifest.ts";
import { assembleBatch, type BatchPart, BatchTable, KINDS } from "./pack-batch.ts";
import { copyEntries } from "./pack-copy.ts";
import { PackDirectory } from "./pack-directory.ts";
import { isSame, type PackIndex } from "./pack-index.ts";
import type { PackReference } from "./pack-registry.ts";
import type { PackWriter } from "./pack-writer.ts";
import { bitsOf } from "./prune-needs.ts";
import type { Catalog, Resolved } from "./store-catalog.ts";
import type { Contents, UsableObjects } from "./store-contents.ts";
import { infoOf, type SnapshotInfo } from "./store-info.ts";
import type { Reservation } from "./store-reservation.ts";

/** What a snapshot begins with. */
export interface BeginOptions {
	/** The guest as it is now; its size may grow. */
	readonly layout: GuestLayout;
	/** The snapshot whose pages count where none are accepted. */
	readonly parent?: string;
	/** Which clone of a guest it is: whatever the caller says. */
	readonly generation?: string;
	readonly label?: string;
}

/** What a snapshot is finished with. */
export interface CommitParts {
	/** Everything of the guest but its pages. */
	readonly state: Uint8Array;
	/** What pages and state must come to (wire/digest.ts), 32 hex digits; left out: whatever was accepted. */
	readonly digest?: string;
	/** Kept with the snapshot. */
	readonly facts?: Readonly<Record<string, string>>;
	/** The guest's layout at the end; that of the beginning, with the size it has reached, if left out. */
	readonly layout?: GuestLayout;
}

/** What has become of the pages that were accepted. */
export interface WriterFigures {
	readonly acceptedPages: number;
	readonly zeroPages: number;
	/** Contents that the store had already. */
	readonly sharedPages: number;
	/** Contents that were written. */
	readonly storedPages: number;
	readonly storedBytes: number;
	/** What the writer itself holds: tables and buffers, in bytes. */
	readonly memoryBytes: number;
}

/** What a writer is made of. */
export interface WriterParts {
	readonly catalog: Catalog;
	readonly contents: Contents;
	readonly clock: Clock;
	readonly reservation: Reservation;
	readonly sequence: number;
	/** What it may refer to, and what it may not although a parent does. */
	readonly usable: UsableObjects;
	readonly parent: Resolved | undefined;
	readonly options: BeginOptions;
	readonly known: readonly StoredResource[];
}

/** See the head of this file. */
export class SnapshotWriter implements PageSink {
	/** The id that the snapshot will have. */
	readonly id: string;
	readonly #parts: WriterParts;
	readonly #engine: Engine;
	readonly #table: PageTable;
	readonly #packs: PackWriter;
	/** Contents that this writer has stored. */
	readonly #own: PackDirectory = new PackDirectory(Number.MAX_SAFE_INTEGER);
	readonly #indexes = new Map<number, PackIndex>();
	/** The hash of a zero page, as words. */
	readonly #zeroHash: Uint32Array<ArrayBuffer>;
	readonly #resources = new Map<string, StoredResource>();
	#status: "open" | "committing" | "ended" = "open";
	/** Batches take effect in the order in which they came. */
	#queue: Promise<unknown> = Promise.resolve();
	#failure: { readonly error: unknown } | undefined;
	#counts = { acceptedPages: 0, zeroPages: 0, sharedPages: 0, storedPages: 0 };
	#resourceNumber = 0;
	/** The step that makes it visible has been asked for. */
	#isAskedFor = false;
	#aborting: Promise<void> | undefined;

	/** Made by {@link SnapshotStore.begin}. */
	constructor(parts: WriterParts) {
		const { catalog, reservation, parent, options } = parts;
		this.#parts = parts;
		this.#engine = catalog.engine;
		this.id = reservation.id;
		this.#table = parent === undefined ? new PageTable(this.#engine, 0) : parent.table.copy(this.#engine);
		this.#table.grow(options.layout.pageCount);
		this.#zeroHash = new Uint32Array(hash128(this.#engine, new Uint8Array(PAGE_BYTES)).buffer);
		this.#packs = catalog.packWriter(this.id, options.layout.pageCount * PAGE_BYTES);
	}

	/** Pages that the snapshot has so far. */
	get pageCount(): number {
		return this.#table.pageCount;
	}

	/** Hashes of the pages as they are in the snapshot so far. To be read only. */
	get hashes(): PageHashTable {
		return this.#table.hashes;
	}

	get figures(): WriterFigures {
		const memoryBytes = this.#table.byteLength + this.#own.byteLength + this.#packs.memoryBytes;
		return { ...this.#counts, storedBytes: this.#packs.byteLength, memoryBytes };
	}

	/**
	 * Takes a batch of a guest's encoder. Resolves when its buffer may be reused.
	 * @throws {SnapshotError} `full`, `failed`: the snapshot is lost, `abort` it; `expired`; `corrupt` for a batch that makes
	 *   no sense. TypeError after commit or abort.
	 */
	accept(batch: Pick<PageBatch, "bytes" | "checksum">, signal?: AbortSignal): Promise<void> {
		return this.#inTurn(() => this.#accept(batch, signal));
	}

	/** The guest has grown: said before any page that is new, which counts as zero until it is accepted. */
	grow(pageCount: number, signal?: AbortSignal): Promise<void> {
		return this.#inTurn(async () => {
			signal?.throwIfAborted();
			this.#parts.catalog.checkPageCount(pageCount);
			this.#table.grow(pageCount);
		});
	}

	/**
	 * Contents of the parent that are condemned are stored anew: nobody who has seen the list may refer to them, and nothing
	 * would keep them once the parent is deleted. Called once, before anything is accepted.
	 * @throws {SnapshotError} `missing` if the parent goes meanwhile; `full`, `failed`, `expired`.
	 */
	takeOverCondemned(): Promise<void> {
		return this.#inTurn(async () => {
			const { catalog, reservation, usable } = this.#parts;
			for (const [slot, used] of this.#table.usedEntries()) {
				const { identity, entries } = catalog.registry.get(slot);
				if (!usable.condemned.has(objectName(identity))) continue;
				const wanted = { slot, bits: bitsOf(entries, used) };
				const moves = await copyEntries(catalog, wanted, this.#packs, () => reservation.renewIfDue());
				this.#table.relocate((from) => (from.slot === slot ? moves.get(from.entry) : undefined));
			}
		});
	}

	/** Hashes of the code that the layout names and the store does not have yet: give it to {@link addResource}. */
	get missingResources(): readonly string[] {
		const { known, options } = this.#parts;
		const wanted = new Set(options.layout.resources.map(({ hash }) => hash));
		for (const { hash } of known) wanted.delete(hash);
		for (const hash of this.#resources.keys()) wanted.delete(hash);
		return [...wanted];
	}

	/** Stores code that the guest needs. @throws RangeError for bytes that do not have the hash; {@link SnapshotError}. */
	addResource(hash: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
		return this.#inTurn(async () => {
			if (!this.missingResources.includes(hash)) return;
			if (bytes.byteLength > MAX_RESOURCE_BYTES)
				throw new RangeError(`bytes: at most ${MAX_RESOURCE_BYTES}, got ${bytes.byteLength}`);
			if (toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) !== hash)
				throw new RangeError("bytes: do not have the SHA-256 that hash says");
			const identity = { role: "resource", creator: this.id, number: this.#resourceNumber++ } as const;
			const built = writeResource(new ObjectBuilder(this.#engine, identity), hash, bytes);
			await this.#parts.catalog.objects.put(identity, built.bytes);
			this.#resources.set(hash, { hash, identity, byteLength: built.byteLength, digest: built.digest });
		});
	}

	/**
	 * Makes the snapshot visible, durably; until the very last step there is nothing to see.
	 * @throws {SnapshotError} `digest` if pages and state do not come to `digest`; `full`, `failed`, `expired`, `too-large`.
	 *   There is no snapshot then; `abort` removes what was written.
	 */
	async commit(parts: CommitParts): Promise<SnapshotInfo> {
		if (this.#status !== "open") throw new TypeError(`commit: this writer is ${this.#status}`);
		const commit = this.#inTurn(() => this.#commit(parts));
		this.#status = "committing";
		try {
			const info = await commit;
			this.#status = "ended";
			return info;
		} catch (error) {
			this.#status = "open"; // for `abort`: everything else fails as this did
			throw error;
		}
	}

	/**
	 * Gives the snapshot up and removes what was written for it. After a commit that has succeeded it does nothing.
	 * @throws {SnapshotError} when the very last step of a commit has failed, and giving it up as well: it may be there.
	 */
	abort(): Promise<void> {
		this.#aborting ??= this.#abort();
		return this.#aborting;
	}

	async #abort(): Promise<void> {
		if (this.#status === "committing") await this.#queue;
		if (this.#status === "ended") return;
		this.#status = "ended";
		await this.#queue;
		await this.#packs.settle();
		const { catalog, reservation } = this.#parts;
		// The reservation goes first, durably: a commit that has failed at its last sync could otherwise come back after a
		// crash, to a snapshot whose packs are gone. If it is not ours any more, or cannot be moved, the rest is a prune's.
		const isReleased = await reservation.release().catch((error: unknown) => {
			if (this.#isAskedFor) throw error;
			return false;
		});
		if (!isReleased) return;
		const packs = Array.from({ length: this.#packs.begun }, (_, number) => number);
		const identities: Identity[] = [
			...packs.map((number) => ({ role: "pack", creator: this.id, number }) as const),
			...[...this.#resources.values()].map(({ identity }) => identity),
			{ role: "manifest", creator: this.id, number: 0 },
		];
		for (const identity of identities) await catalog.plain.delete(identity);
	}

	async #accept({ bytes, checksum }: EncodedBatch, signal: AbortSignal | undefined): Promise<void> {
		signal?.throwIfAborted();
		await this.#parts.reservation.renewIfDue();
		const batch = new BatchTable(bytes, this.pageCount);
		const locations = await this.#findKnown(batch);
		const fresh: number[] = [];
		for (let i = 0; i < batch.count; i++) if (batch.kind(i) !== KINDS.zero && locations[i] === undefined) fresh.push(i);
		if (fresh.length > 0) await this.#store(batch, checksum, fresh, locations);
		this.#note(batch, locations, fresh.length);
	}

	/** Writes the contents that are new: the batch as it is, or one of a part of its pages. */
	async #store(
		batch: BatchTable,
		checksum: bigint,
		fresh: number[],
		locations: (Location | undefined)[],
	): Promise<void> {
		const isWhole = fresh.length === batch.count;
		const part = isWhole
			? undefined
			: assembleBatch(
					this.#engine,
					fresh.map((i) => batch.part(i)),
				);
		const table = part === undefined ? batch : new BatchTable(part.bytes, this.pageCount);
		const { slot, entry, index } = await this.#packs.append(table, part?.checksum ?? checksum);
		this.#indexes.set(slot, index);
		this.#own.add(slot, index, entry, fresh.length);
		for (const [position, i] of fresh.entries()) locations[i] = { slot, entry: entry + position };
	}

	#note(batch: BatchTable, locations: readonly (Location | undefined)[], fresh: number): void {
		const pageIndices = new Uint32Array(batch.count);
		const hashes = new Uint32Array(batch.count * 4);
		let zeroPages = 0;
		for (let i = 0; i < batch.count; i++) {
			const isZero = batch.kind(i) === KINDS.zero;
			pageIndices[i] = batch.pageIndex(i);
			for (let word = 0; word < 4; word++)
				hashes[4 * i + word] = isZero ? this.#zeroHash[word]! : batch.hashWord(i, word);
			if (isZero) zeroPages++;
		}
		this.#table.place(pageIndices, new Uint8Array(hashes.buffer), locations);
		this.#counts.acceptedPages += batch.count;
		this.#counts.zeroPages += zeroPages;
		this.#counts.storedPages += fresh;
		this.#counts.sharedPages += batch.count - zeroPages - fresh;
	}

	/** Where contents of these pages lie already; `undefined` for those that have to be written, and for zero pages. */
	async #findKnown(batch: BatchTable): Promise<(Location | undefined)[]> {
		const known: (Location | undefined)[] = [];
		const { directory } = this.#parts.contents;
		for (let i = 0; i < batch.count; i++) {
			known.push(undefined);
			if (batch.kind(i) === KINDS.zero) continue;
			const [low, high] = [batch.hashWord(i, 0), batch.hashWord(i, 1)];
			if (!this.#own.mayHave(low, high) && !directory.mayHave(low, high)) continue;
			const shared = directory.candidates(low, high).filter((location) => this.#isUsable(location));
			for (const location of [...this.#own.candidates(low, high), ...shared])
				if (known[i] === undefined && (await this.#holds(location, batch.part(i)))) known[i] = location;
		}
		return known;
	}

	#isUsable({ slot }: Location): boolean {
		const { catalog, usable } = this.#parts;
		const { identity, sha256 } = catalog.registry.get(slot);
		// A signed manifest names packs by SHA-256: one of which nobody knows it cannot be in it.
		return usable.present.has(objectName(identity)) && (sha256 !== undefined || !catalog.seal.isRequired);
	}

	/** Whether the content there is this one, byte by byte. */
	async #holds({ slot, entry }: Location, wanted: BatchPart): Promise<boolean> {
		const { packs } = this.#parts.catalog;
		try {
			// Most pages lie where the page before them does: nothing is awaited for those.
			const index = packs.indexAtHand(slot) ?? (await packs.index(slot));
			if (!isSame(index.hash(entry), wanted.hash)) return false;
			const { bytes } = packs.frameAtHand(slot, index.frameOffset(entry)) ?? (await packs.frame(slot, entry));
			const from = index.payloadOffset(entry);
			const payload = bytes.subarray(from, from + index.byteLength(entry));
			if (index.kind(entry) === wanted.kind) return isSame(payload, wanted.payload);
			return isSame(this.#expand(index.kind(entry), payload), this.#expand(wanted.kind, wanted.payload));
		} catch (error) {
			// A pack that cannot be read is no reason to refuse a page: the page is written again.
			if (error instanceof SnapshotError || error instanceof Lz4Error) return false;
			throw error;
		}
	}

	#expand(kind: number, payload: Uint8Array): Uint8Array {
		return kind === KINDS.raw ? payload : this.#parts.catalog.expand(payload);
	}

	async #commit({ state, digest, facts = {}, layout }: CommitParts): Promise<SnapshotInfo> {
		const { catalog, contents, reservation, options, known, sequence } = this.#parts;
		if (this.missingResources.length > 0)
			throw new RangeError(`the layout names code that was not given: ${this.missingResources.join(", ")}`);
		const found = catalog.digest(this.#table, state);
		if (digest !== undefined && digest !== found)
			throw new SnapshotError("digest", `pages and state that were accepted have the digest ${found}, not ${digest}`);
		await this.#packs.finish();
		const wanted = new Set(options.layout.resources.map(({ hash }) => hash));
		const resources = [...known, ...this.#resources.values()].filter(({ hash }) => wanted.has(hash));
		const { parent, generation, label } = options;
		const common = {
			id: this.id,
			sequence,
			...(parent === undefined ? {} : { parent }),
			...(generation === undefined ? {} : { generation }),
			...(label === undefined ? {} : { label }),
			layout: { ...(layout ?? options.layout), pageCount: this.pageCount },
			facts,
			digest: found,
			stateByteLength: state.byteLength,
			storedPages: this.#table.countStored(),
			addedBytes: this.#packs.byteLength,
			resources,
		};
		const manifest = await storeManifest(catalog, {
			identity: { role: "manifest", creator: this.id, number: 0 },
			common,
			state: new Uint8Array(state),
			table: this.#table,
			parent: this.#buildsOn(),
		});
		this.#isAskedFor = true;
		await reservation.keep(sequence, manifest.manifest.reference);
		catalog.remember(manifest);
		for (const [slot, index] of this.#indexes) contents.add(slot, index);
		return infoOf(manifest.manifest.description);
	}

	/** What the manifest may be a delta against: a parent none of whose manifests is condemned. */
	#buildsOn(): Resolved | undefined {
		const { parent, usable } = this.#parts;
		const isCondemned = parent?.chain.some(({ reference }) => usable.condemned.has(objectName(reference.identity)));
		return isCondemned === true ? undefined : parent;
	}

	#inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
		if (this.#status !== "open") return Promise.reject(new TypeError(`this writer is ${this.#status}`));
		const turn = this.#queue.then(async () => {
			if (this.#failure !== undefined) throw this.#failure.error;
			try {
				return await work();
			} catch (error) {
				// What was lost once is lost: a later success would hide a gap.
				this.#failure ??= { error };
				throw error;
			}
		});
		this.#queue = turn.then(
			() => undefined,
			() => undefined, // the caller of this turn sees the failure
		);
		return turn;
	}
}

/** What {@link storeManifest} makes a manifest of. */
export interface ManifestRequest {
	readonly identity: Identity;
	readonly common: Omit<Description, "chain" | "base">;
	readonly state: Uint8Array<ArrayBuffer>;
	readonly table: PageTable;
	/** What the table may be a delta against. */
	readonly parent: Resolved | undefined;
}

/** Writes a manifest, its table whole or as a delta, whichever is smaller, and stores it. Nothing refers to it yet. */
export async function storeManifest(catalog: Catalog, request: ManifestRequest): Promise<Resolved> {
	const { identity, common, state, table, parent } = request;
	const whole = encodeTable(catalog, table);
	const delta = mayBuildOn(parent, table) ? encodeTable(catalog, table, parent.table) : undefined;
	const isDelta = delta !== undefined && parent !== undefined && delta.byteLength < whole.byteLength;
	const { packs, tables } = isDelta ? delta : whole;
	const base = isDelta ? parent.manifest.reference : undefined;
	const chain = isDelta ? parent.manifest.description.chain + 1 : 0;
	const description: Description = { ...common, chain, ...(base === undefined ? {} : { base }) };
	const builder = new ObjectBuilder(catalog.engine, identity);
	writeManifest(builder, { description, packs, state, tables });
	builder.finish();
	await catalog.seal.sign(builder);
	const built = builder.built();
	await catalog.objects.put(identity, built.bytes);
	const reference: ObjectReference = { identity, byteLength: built.byteLength, digest: built.digest };
	const manifest: Manifest = { reference, description, packs, state, tables: [] };
	return { manifest, table, chain: isDelta ? [manifest, ...parent.chain] : [manifest] };
}

function mayBuildOn(parent: Resolved | undefined, table: PageTable): parent is Resolved {
	if (parent === undefined || parent.table.pageCount > table.pageCount) return false;
	return parent.manifest.description.chain < MAX_CHAIN_LENGTH - 1;
}

function encodeTable(catalog: Catalog, table: PageTable, base?: PageTable) {
	const packs: PackReference[] = [];
	const numbers = new Map<number, number>();
	const tables = table.encode((slot) => {
		const known = numbers.get(slot);
		if (known !== undefined) return known;
		numbers.set(slot, packs.length);
		return packs.push(catalog.registry.get(slot)) - 1;
	}, base);
	return { packs, tables, byteLength: tables.reduce((sum, { byteLength }) => sum + byteLength, 0) };
}

function writeResource(builder: ObjectBuilder, hash: string, bytes: Uint8Array<ArrayBuffer>) {
	for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += MAX_CHUNK_BYTES) {
		const piece = bytes.subarray(offset, offset + MAX_CHUNK_BYTES);
		const record = encodeRecord({ type: "resource", hash, offset, total: bytes.byteLength, bytes: piece });
		builder.append(RECORD_TYPES.resource, record.payload);
	}
	return builder.finish();
}
