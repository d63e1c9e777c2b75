// The checksum of a batch: XXH3-64 of its header, its table, and those of its payloads that are not raw pages, one after
// another. A raw page is covered by its hash in the table, which whoever uses the page compares anyway: a second pass over
// all bytes on either side of a move would cost a tenth of its time.
//
// So a flipped bit of a batch shows in its checksum, or in the hash of a raw page. The encoder and the decoder take it on their
// way; here it is for bytes that lie somewhere else.
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES } from "./batch-layout.ts";
import type { Engine } from "./engine.ts";
import { hash64, hash128 } from "./hash.ts";

const KIND_RAW = 1;

/** A batch's bytes as the checksum sees them. */
interface Parts {
	/** What it covers, in order. */
	readonly covered: readonly Uint8Array[];
	/** What it does not: pages, each with its hash in the table. */
	readonly raw: readonly { readonly page: Uint8Array; readonly hash: Uint8Array }[];
}

/** Bytes that are no batch are covered whole. */
function partsOf(bytes: Uint8Array): Parts {
	const whole = { covered: [bytes], raw: [] };
	if (bytes.byteLength < BATCH_HEADER_BYTES) return whole;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const tableEnd = BATCH_HEADER_BYTES + view.getUint32(0, true) * BATCH_ENTRY_BYTES;
	if (tableEnd > bytes.byteLength) return whole;
	const covered: Uint8Array[] = [];
	const raw: Parts["raw"][number][] = [];
	let from = 0;
	let to = tableEnd;
	for (let entry = BATCH_HEADER_BYTES; entry < tableEnd; entry += BATCH_ENTRY_BYTES) {
		const length = view.getUint32(entry + 4, true) & 0xff_ffff;
		if (view.getUint8(entry + 7) === KIND_RAW) {
			if (to > from) covered.push(bytes.subarray(from, to));
			raw.push({ page: bytes.subarray(to, to + length), hash: bytes.subarray(entry + 8, entry + BATCH_ENTRY_BYTES) });
			from = to + length;
		}
		to += length;
	}
	if (to !== bytes.byteLength) return whole;
	if (to > from) covered.push(bytes.subarray(from, to));
	return { covered, raw };
}

/**
 * The checksum of a batch.
 *
 * @param bytes any bytes: of what is no batch, it is XXH3-64 of all of them
 */
export function batchChecksum(engine: Engine, bytes: Uint8Array): bigint {
	return checksumOf(engine, partsOf(bytes).covered);
}

/**
 * Whether a batch is as it was sent: its checksum is this one, and each raw page has its hash. Compressed pages are not
 * expanded.
 *
 * @param bytes any bytes
 */
export function isBatchIntact(engine: Engine, bytes: Uint8Array, checksum: bigint): boolean {
	const { covered, raw } = partsOf(bytes);
	if (checksumOf(engine, covered) !== checksum) return false;
	return raw.every(({ page, hash }) => hash128(engine, page).every((byte, i) => byte === hash[i]));
}

function checksumOf(engine: Engine, covered: readonly Uint8Array[]): bigint {
	const [first] = covered;
	if (covered.length === 1 && first !== undefined) return hash64(engine, first);
	const all = new Uint8Array(covered.reduce((sum, { byteLength }) => sum + byteLength, 0));
	let at = 0;
	for (const part of covered) {
		all.set(part, at);
		at += part.byteLength;
	}
	return hash64(engine, all);
}
