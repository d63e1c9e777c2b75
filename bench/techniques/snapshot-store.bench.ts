// The snapshot store on a folder: writing beside node:fs with the same bytes, verifying beside reading, sharing beside one.
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { type EncodedBatch, type GuestLayout, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "A snapshot store on a folder";

const MB_PER_S = 1000;
/** Pages of a batch, as an iteration encodes them. */
const BATCH_PAGES = 256;

const median = (values: readonly number[]): number =>
	[...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

interface Workload {
	readonly layout: GuestLayout;
	readonly batches: readonly EncodedBatch[];
}

/** A guest of noise, encoded as an iteration does: what it costs to encode is not what is measured here. */
function workload(sizeMiB: number, seed: number): Workload {
	const pageCount = (sizeMiB * 2 ** 20) / PAGE_BYTES;
	const encoder = new BatchEncoder(createEngine());
	const random = new SeededRandom(seed);
	const memory = random.fill(new Uint8Array(BATCH_PAGES * PAGE_BYTES));
	const batches = Array.from({ length: pageCount / BATCH_PAGES }, (_, i) => {
		// Noise is slow to make: each page is made another one by its number.
		for (let page = 0; page < BATCH_PAGES; page++)
			new DataView(memory.buffer).setUint32(page * PAGE_BYTES, i * BATCH_PAGES + page);
		const pageIndices = Uint32Array.from({ length: BATCH_PAGES }, (_, page) => page);
		encoder.staging(BATCH_PAGES).set(memory);
		const at = pageIndices.map((page) => page + i * BATCH_PAGES);
		const { bytes, checksum } = encoder.encode({ pageIndices: at, source: { kind: "staged" }, compress: false });
		return { bytes: new Uint8Array(bytes), checksum };
	});
	return {
		layout: { kind: "memory", pageBytes: PAGE_BYTES, pageCount, maximumPageCount: pageCount, resources: [], facts: {} },
		batches,
	};
}

/** The same bytes by node:fs: written as they come, then synced. @returns ms */
async function writeRaw(path: string, batches: readonly EncodedBatch[]): Promise<number> {
	const started = performance.now();
	const file = await open(path, "wx");
	for (const { bytes } of batches) await file.write(bytes);
	await file.sync();
	await file.close();
	const taken = performance.now() - started;
	await rm(path);
	return taken;
}

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const sizeMiB = smoke ? 8 : 256;
	const rounds = smoke ? 1 : 7;
	const folder = await mkdtemp(join(tmpdir(), "pageferry-bench-"));
	const platform = nodePlatform();
	const work = workload(sizeMiB, 1);
	const byteLength = work.batches.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
	const times = { ours: [] as number[], raw: [] as number[], verify: [] as number[] };
	const signal = new AbortController().signal;
	try {
		for (let round = smoke ? 0 : -1; round < rounds; round++) {
			const store = new SnapshotStore(await platform.openFolderStore(join(folder, `store${round}`)), platform);
			const raw = await writeRaw(join(folder, "raw"), work.batches);
			const started = performance.now();
			const writer = await store.begin({ layout: work.layout });
			for (const batch of work.batches) await writer.accept(batch, signal);
			const { id } = await writer.commit({ state: new Uint8Array(1000) });
			const ours = performance.now() - started;
			const verifying = performance.now();
			const verified = await store.verify(id);
			if (verified.storedPages !== work.layout.pageCount) throw new RangeError("not everything was verified");
			times.verify.push(performance.now() - verifying);
			await rm(join(folder, `store${round}`), { recursive: true });
			if (round < 0) {
				times.verify.pop();
				continue;
			}
			times.ours.push(ours);
			times.raw.push(raw);
		}
	} finally {
		await rm(folder, { recursive: true });
	}
	return [
		{
			name: `${sizeMiB} MiB written`,
			value: byteLength / median(times.ours) / MB_PER_S,
			unit: "MB/s",
			peer: "node:fs write and fsync",
			peerValue: byteLength / median(times.raw) / MB_PER_S,
			ratio: median(times.ours.map((ours, i) => times.raw[i]! / ours)),
			goal: 0.7,
		},
		{
			name: `${sizeMiB} MiB verified, from the page cache`,
			value: (sizeMiB * 2 ** 20) / median(times.verify) / MB_PER_S,
			unit: "MB/s",
			peer: "2 GB/s",
			peerValue: 2000,
			ratio: (sizeMiB * 2 ** 20) / median(times.verify) / MB_PER_S / 2000,
			goal: 1,
		},
	];
}
