// A QEMU guest's memory, seen from the host: a file in shared memory, divided among workers that read it in place.
//
//   shard 0: pages 0 … n − 1, worker 0        scan, peek, encode and hash run in all shards at once;
//   shard 1: pages n … 2n − 1, worker 1       batches are installed by worker 0 alone, in the order of the calls
//
// A batch whose pages lie in several shards is encoded by the first of them; the others hand it their pages' contents, unless
// the machine is paused: then it reads them from the file itself.
import { BATCH_LIMIT_PAGES, BatchError, batchHashes, batchLimitBytes } from "../../engine/batch.ts";
import { HASH_BYTES } from "../../engine/hash.ts";
import {
	type AppliedPages,
	type DirtyCursor,
	type DirtyLog,
	type DirtyPages,
	type EncodedBatch,
	type EncodeOptions,
	GuestError,
	type GuestPages,
	PAGE_BYTES,
	type PageBatch,
	type PageBits,
} from "../../ports/guest.ts";
import type { WorkerPort } from "../../ports/worker.ts";
import { BufferPool } from "../buffer-pool.ts";
import { bitsByteLength, countBits, orBits } from "../page-bits.ts";
import { STEP_PAGES } from "../scan-tracker.ts";
import { mappedAddress, type RamMapping } from "./page-map.ts";
import { RamClient } from "./ram-client.ts";
import { errorOf, type LookKind, type LookReport, type RamJobs } from "./ram-protocol.ts";
import { type QemuTracker, RamTracking, type TrackedProcess } from "./ram-tracking.ts";

/** 1 GiB: no shadow comes near the 4 GiB of an engine's memory. */
const LARGEST_SHARD_PAGES = 2 ** 18;
/** Two threads halve a scan; more would take the cores of the guest itself. */
const USUAL_SHARDS = 2;

interface Shard {
	readonly firstPage: number;
	readonly pageCount: number;
	readonly worker: RamClient;
}

/** The part of a list that lies in one shard. */
interface ShardPages {
	readonly shard: Shard;
	readonly pageIndices: Uint32Array;
}

/** See the head of this file. */
export class QemuRam implements GuestPages, DirtyLog {
	readonly pageCount: number;
	/** How changes are found. */
	readonly tracking: RamTracking;
	readonly #shards: readonly Shard[];
	readonly #buffers = new BufferPool();
	/** Harvests that rely on a machine that is paused. */
	readonly #still: Set<Promise<unknown>> = new Set();
	#cursors = 0;
	#started: Promise<void> = Promise.resolve();

	private constructor(shards: readonly Shard[], pageCount: number, tracking: RamTracking) {
		this.pageCount = pageCount;
		this.#shards = shards;
		this.tracking = tracking;
	}

	/** Starts the workers. @param onEnd called once if one of them ends by itself */
	static async open(
		workers: WorkerPort,
		file: { readonly path: string; readonly pageCount: number },
		process: TrackedProcess,
		onEnd: (error: GuestError) => void,
	): Promise<QemuRam> {
		const { path, pageCount } = file;
		const mapping = await mappingOf(process, path, pageCount);
		const bits = () => new SharedArrayBuffer(bitsByteLength(pageCount));
		const shared = { path, guestPages: pageCount, written: bits(), fresh: bits() };
		const count = Math.max(USUAL_SHARDS, Math.ceil(pageCount / LARGEST_SHARD_PAGES));
		const size = Math.ceil(pageCount / count / STEP_PAGES) * STEP_PAGES;
		const shards: Shard[] = [];
		for (let firstPage = 0; firstPage < pageCount; firstPage += size) {
			const worker = new RamClient(workers.start("qemu-ram"), onEnd);
			shards.push({ firstPage, pageCount: Math.min(size, pageCount - firstPage), worker });
		}
		try {
			const attached = await Promise.all(
				shards.map(({ worker, ...part }) =>
					worker.run({ name: "attach", shard: { ...shared, ...part, ...(mapping === undefined ? {} : { mapping }) } }),
				),
			);
			const unreadable = attached.find(({ withoutMap }) => withoutMap !== undefined)?.withoutMap;
			const withoutMap = mapping === undefined ? "QEMU has not mapped the file in one piece" : unreadable;
			return new QemuRam(shards, pageCount, new RamTracking(process, pageCount, withoutMap));
		} catch (error) {
			await Promise.all(shards.map(({ worker }) => worker.end(new GuestError("gone", "the start failed"))));
			throw error;
		}
	}

	get tracker(): QemuTracker {
		return this.tracking.report.tracker;
	}

	/** Pages that soft-dirty marks name: see soft-dirty.ts. */
	async markedPages(): Promise<number> {
		const marked = await Promise.all(this.#shards.map(({ worker }) => worker.run({ name: "soft-dirty" })));
		return marked.reduce((sum, { pageCount }) => sum + pageCount, 0);
	}

	/** Resolves when nothing relies on a paused machine any more. */
	async settled(): Promise<void> {
		await Promise.allSettled(this.#still);
	}

	/** Ends the workers; every call rejects from now on. */
	async close(reason: Error = new GuestError("gone", "the guest has been discarded")): Promise<void> {
		await this.#all(({ worker }) => worker.end(reason));
	}

	async encode(pageIndices: Uint32Array, { compress }: EncodeOptions): Promise<PageBatch> {
		for (const page of pageIndices)
			if (page >= this.pageCount) throw new RangeError(`pageIndices: page ${page} of ${this.pageCount} does not exist`);
		const parts = this.#divide(pageIndices);
		const [first = { shard: this.#shards[0]!, pageIndices }, ...others] = parts;
		// Of a paused machine the file is right: the shadow is as somebody's cursor has left it. Every worker reads all of it.
		const still = this.tracking.isPaused;
		const foreign = still ? undefined : await this.#contents(others);
		const buffer = this.#buffers.take(batchLimitBytes(pageIndices.length));
		const size = buffer.byteLength;
		let encoded: RamJobs["encode"]["result"];
		try {
			const order = {
				pageIndices: pageIndices.slice(),
				compress,
				still,
				buffer,
				...(foreign === undefined ? {} : { foreign }),
			};
			const transfer = foreign === undefined ? [buffer] : [buffer, foreign];
			encoded = await first.shard.worker.run({ name: "encode", ...order }, transfer);
		} catch (error) {
			this.#buffers.lost(size);
			throw error;
		}
		const { checksum, zeroPages, byteLength } = encoded;
		const bytes = new Uint8Array(encoded.buffer, 0, byteLength);
		let held: ArrayBuffer | undefined = encoded.buffer;
		return {
			...{ bytes, checksum, pageIndices, zeroPages, wireByteLength: byteLength },
			hashes: batchHashes(bytes, pageIndices.length),
			release: () => {
				if (held !== undefined) this.#buffers.give(held);
				held = undefined;
			},
		};
	}

	async apply(batch: EncodedBatch, giveBack?: (buffer: ArrayBuffer) => void): Promise<AppliedPages> {
		const { bytes, checksum } = batch;
		const { byteLength } = bytes;
		if (byteLength > batchLimitBytes(BATCH_LIMIT_PAGES)) throw new BatchError("bad-length");
		const lent = giveBack !== undefined && bytes.byteOffset === 0;
		const buffer = lent ? bytes.buffer : this.#buffers.take(byteLength);
		const size = buffer.byteLength;
		if (!lent) new Uint8Array(buffer, 0, byteLength).set(bytes);
		let returned: ArrayBuffer | undefined;
		try {
			const result = await this.#shards[0]!.worker.run({ name: "apply", buffer, byteLength, checksum }, [buffer]);
			returned = result.buffer;
			if (result.refused !== undefined) throw errorOf(result.refused);
			const { pageIndices } = result;
			return { pageIndices, hashes: batchHashes(new Uint8Array(returned, 0, byteLength), pageIndices.length) };
		} finally {
			if (lent) giveBack(returned ?? buffer);
			else if (returned !== undefined) this.#buffers.give(returned);
			else this.#buffers.lost(size);
		}
	}

	async hashes(firstPage: number, pageCount: number): Promise<Uint8Array> {
		if (firstPage + pageCount > this.pageCount)
			throw new RangeError(`pageCount: pages ${firstPage} + ${pageCount} of ${this.pageCount} do not exist`);
		const result = new Uint8Array(pageCount * HASH_BYTES);
		await this.#each(firstPage, pageCount, async ({ worker }, from, count) => {
			const { hashes } = await worker.run({ name: "hashes", firstPage: from, pageCount: count });
			result.set(hashes, (from - firstPage) * HASH_BYTES);
		});
		return result;
	}

	/** Which pages are all zero: as the last harvest saw them while a cursor is open and the machine runs, else as they are now. */
	async zeros(): Promise<PageBits> {
		const still = this.tracking.isPaused;
		const bits = new Uint8Array(bitsByteLength(this.pageCount));
		await this.#all(async ({ firstPage, worker }) => {
			bits.set((await worker.run({ name: "zeros", still })).bits, firstPage / 8);
		});
		return bits;
	}

	/** QEMU's memory has the size that it was started with. */
	async grow(pageCount: number): Promise<void> {
		if (pageCount > this.pageCount)
			throw new GuestError(
				"too-large",
				`${pageCount} pages are more than the ${this.pageCount} that QEMU was started with`,
			);
	}

	async open(): Promise<DirtyCursor> {
		// Once, before any of those that open at once copies a page.
		if (this.#cursors++ === 0) this.#started = this.tracking.start();
		await this.#started;
		const opened = await Promise.allSettled(this.#shards.map(({ worker }) => worker.run({ name: "open" })));
		const failed = opened.find((one) => one.status === "rejected");
		if (failed === undefined)
			return new QemuDirtyCursor(
				this,
				opened.map((one) => (one.status === "fulfilled" ? one.value.cursor : 0)),
			);
		this.#cursors--;
		await Promise.all(
			opened.map((one, at) =>
				one.status === "fulfilled"
					? this.#shards[at]!.worker.run({ name: "close", cursor: one.value.cursor })
					: undefined,
			),
		);
		throw failed.reason;
	}

	/** See {@link DirtyCursor.peek}; one cursor number per shard. */
	async peek(
		cursors: readonly number[],
		firstPage: number,
		pageCount: number,
		candidates?: PageBits,
	): Promise<PageBits> {
		if (firstPage % 8 !== 0) throw new RangeError(`firstPage must be a multiple of 8, got ${firstPage}`);
		const bits = new Uint8Array(bitsByteLength(pageCount));
		const kind: LookKind = this.tracker === "soft-dirty" ? "soft-dirty" : "all";
		const within = Math.max(0, Math.min(pageCount, this.pageCount - firstPage));
		await this.#each(firstPage, within, async (shard, from, count) => {
			const at = (from - firstPage) / 8;
			const some = candidates?.slice(at, at + bitsByteLength(count));
			const range = {
				...{ firstPage: from - shard.firstPage, pageCount: count, kind },
				...(some === undefined ? {} : { candidates: some }),
			};
			const cursor = cursors[this.#shards.indexOf(shard)]!;
			bits.set((await shard.worker.run({ name: "peek", cursor, ...range })).bits, at);
		});
		return bits;
	}

	/** See {@link DirtyCursor.harvest}. */
	harvest(cursors: readonly number[]): Promise<DirtyPages> {
		const isPaused = this.tracking.isPaused;
		const harvesting = this.#harvest(cursors, isPaused);
		if (isPaused) {
			this.#still.add(harvesting);
			const settle = () => this.#still.delete(harvesting);
			harvesting.then(settle, settle);
		}
		return harvesting;
	}

	async #harvest(cursors: readonly number[], isPaused: boolean): Promise<DirtyPages> {
		const kind = this.tracking.kind();
		const [{ dirty, looks }, doubt] = await Promise.all([this.#look(cursors, kind), this.tracking.doubts(kind)]);
		if (this.tracking.judge(looks, doubt) === undefined) {
			if (isPaused) await this.tracking.harvested(looks);
			return dirty;
		}
		const { bits } = (await this.#look(cursors, "all")).dirty;
		orBits(bits, dirty.bits);
		return { ...dirty, bits, dirtyCount: countBits(bits) };
	}

	async #look(
		cursors: readonly number[],
		kind: LookKind,
	): Promise<{ readonly dirty: DirtyPages; readonly looks: readonly LookReport[] }> {
		const bits = new Uint8Array(bitsByteLength(this.pageCount));
		let dirtyCount = 0;
		const looks: LookReport[] = [];
		await this.#all(async ({ firstPage, worker }, at) => {
			const part = await worker.run({ name: "harvest", cursor: cursors[at]!, kind });
			bits.set(part.bits, firstPage / 8);
			dirtyCount += part.dirtyCount;
			looks.push(part.look);
		});
		return { dirty: { bits, dirtyCount, pageCount: this.pageCount }, looks };
	}

	/** See {@link DirtyCursor.putBack}. */
	async putBack(cursors: readonly number[], bits: PageBits): Promise<void> {
		if (bits.byteLength > bitsByteLength(this.pageCount))
			throw new RangeError(`bits: ${bits.byteLength} bytes are more than ${this.pageCount} pages have`);
		await this.#all(({ firstPage, pageCount, worker }, at) => {
			const own = bits.slice(firstPage / 8, firstPage / 8 + bitsByteLength(pageCount));
			return worker.run({ name: "put-back", cursor: cursors[at]!, bits: own });
		});
	}

	/** See {@link DirtyCursor.close}. With the workers their cursors are gone. */
	async closeCursor(cursors: readonly number[]): Promise<void> {
		this.#cursors--;
		await this.#all(({ worker }, at) =>
			worker.ended === undefined ? worker.run({ name: "close", cursor: cursors[at]! }) : undefined,
		);
	}

	async #all(work: (shard: Shard, at: number) => Promise<unknown> | undefined): Promise<void> {
		await Promise.all(this.#shards.map(work));
	}

	/** Runs `work` for the part of a range that each shard has. */
	async #each(
		firstPage: number,
		pageCount: number,
		work: (shard: Shard, firstPage: number, pageCount: number) => Promise<void>,
	): Promise<void> {
		await this.#all((shard) => {
			const from = Math.max(firstPage, shard.firstPage);
			const end = Math.min(firstPage + pageCount, shard.firstPage + shard.pageCount);
			return from < end ? work(shard, from, end - from) : undefined;
		});
	}

	/** The list's parts, shard by shard, those without a page left out. */
	#divide(pageIndices: Uint32Array): ShardPages[] {
		const parts = this.#shards.map((shard) => ({
			shard,
			pageIndices: pageIndices.filter((page) => page >= shard.firstPage && page < shard.firstPage + shard.pageCount),
		}));
		return parts.filter((part) => part.pageIndices.length > 0);
	}

	/** Contents of pages of several shards, one after the other, while the machine runs; `undefined` for none. */
	async #contents(parts: readonly ShardPages[]): Promise<ArrayBuffer | undefined> {
		if (parts.length === 0) return undefined;
		const got = await Promise.all(
			parts.map(async ({ shard, pageIndices }) => {
				const buffer = new ArrayBuffer(pageIndices.length * PAGE_BYTES);
				return (await shard.worker.run({ name: "contents", pageIndices, buffer }, [buffer])).buffer;
			}),
		);
		if (got.length === 1) return got[0];
		const all = new Uint8Array(got.reduce((sum, { byteLength }) => sum + byteLength, 0));
		let at = 0;
		for (const buffer of got) {
			all.set(new Uint8Array(buffer), at);
			at += buffer.byteLength;
		}
		return all.buffer;
	}
}

/** @returns where QEMU has the file; `undefined` where that cannot be told */
async function mappingOf(
	{ files, pid }: TrackedProcess,
	path: string,
	pageCount: number,
): Promise<RamMapping | undefined> {
	const maps = await files.read(`/proc/${pid}/maps`).catch(() => undefined); // then everything is read, and the report says so
	if (maps === undefined) return undefined;
	const address = mappedAddress(new TextDecoder().decode(maps), path, pageCount * PAGE_BYTES);
	return address === undefined ? undefined : { path: `/proc/${pid}/pagemap`, address };
}

class QemuDirtyCursor implements DirtyCursor {
	readonly #ram: QemuRam;
	readonly #cursors: readonly number[];
	#closed = false;

	constructor(ram: QemuRam, cursors: readonly number[]) {
		this.#ram = ram;
		this.#cursors = cursors;
	}

	peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits> {
		return this.#ram.peek(this.#cursors, firstPage, pageCount, candidates);
	}

	harvest(): Promise<DirtyPages> {
		return this.#ram.harvest(this.#cursors);
	}

	putBack(bits: PageBits): Promise<void> {
		return this.#ram.putBack(this.#cursors, bits);
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		await this.#ram.closeCursor(this.#cursors);
	}
}
