/** Batches of zero pages: what a caller may decide to put where pages are lost for good. */
import { BATCH_LIMIT_PAGES, BatchEncoder } from "../engine/batch.ts";
import { createEngine } from "../engine/engine.ts";
import { type EncodedBatch, PAGE_BYTES, type PageBits } from "../ports/guest.ts";
import { hasPage } from "./missing-record.ts";

/** One batch after another, until every page of the set is in one; each is valid until the next. */
export function* zeroBatches(pages: PageBits): Generator<EncodedBatch> {
	const engine = createEngine();
	const encoder = new BatchEncoder(engine);
	try {
		let some: number[] = [];
		for (let page = 0; page < pages.byteLength * 8; page++) {
			if (hasPage(pages, page)) some.push(page);
			const last = page === pages.byteLength * 8 - 1;
			if (some.length === 0 || (some.length < BATCH_LIMIT_PAGES && !last)) continue;
			encoder.staging(some.length).fill(0, 0, some.length * PAGE_BYTES);
			const { bytes, checksum } = encoder.encode({ pageIndices: Uint32Array.from(some), source: { kind: "staged" } });
			yield { bytes: new Uint8Array(bytes), checksum };
			some = [];
		}
	} finally {
		engine.dispose();
	}
}
