/**
 * The numbers of the record types (the u16 of the frame header). A number is never reused for another meaning.
 *
 *   0            never valid
 *   1 … 15       link-internal: produced and consumed by a link, never seen above it
 *   16 … 31      handshake
 *   32 … 47      transfer
 *   48 … 63      handover
 *   64 … 79      paging: pages that travel after the guest has been handed over, checkpoints that travel back
 *   80 … 95      images: kept in a store (docs/image-format.md), never sent over a link
 *   96 … 111     keeping: a snapshot that is sent to a keeper
 *   bit 15       optional: a peer that does not know the record ignores it; an unknown record without it is an error
 */

/** Set in the type of a record that a peer may ignore. */
export const OPTIONAL_BIT = 0x8000;

/** The largest type number of the link-internal records. */
const LAST_LINK_TYPE = 15;

/** Link-internal record types. */
export const LINK_TYPES = {
	/** First frame in each direction: protocol versions, windows, largest frame. */
	preface: 1,
	/** Bytes given back to the windows. */
	credit: 2,
	/** Nothing follows: the conversation ends in order. */
	end: 3,
} as const;

/** Record types above the link, by name. */
export const RECORD_TYPES = {
	hello: 16,
	welcome: 17,
	refuse: 18,
	resource: 19,
	prepared: 20,
	layout: 32,
	batch: 33,
	state: 34,
	digest: 35,
	round: 0x8024, // 36, optional
	ready: 48,
	reject: 49,
	go: 50,
	running: 51,
	abort: 52,
	query: 53,
	answer: 54,
	missing: 64,
	fault: 65,
	taken: 66,
	complete: 67,
	accepted: 68,
	hashes: 69,
	corrupt: 70,
	recover: 71,
	alive: 0x8048, // 72, optional
	epoch: 73,
	checkpoint: 74,
	committed: 75,
	offer: 96,
	kept: 97,
} as const;

/** Records of images, beside batch, state and resource, which are the same in images and on links. */
export const IMAGE_TYPES = {
	/** First frame of every object: format version, role, identity. */
	image: 80,
	/** JSON: what a snapshot is. */
	description: 81,
	/** A pack's entries. */
	index: 82,
	/** The packs that a manifest names. */
	packs: 83,
	/** A part of the page table. */
	table: 84,
	/** Objects that nobody may refer to any more. */
	condemned: 85,
	/** Last frame of every object: the digest over all headers. */
	trailer: 86,
	/** Behind a manifest's trailer. */
	signature: 87,
	/** First frame of an encrypted object: with which key, and how. */
	sealed: 88,
	/** A piece of an encrypted object. */
	segment: 89,
} as const;

/** The name of a record above the link. */
export type RecordName = keyof typeof RECORD_TYPES;

/** Page batches: their checksum is verified by the decoder, beside the memory, not by the link. */
export const BATCH_TYPE: number = RECORD_TYPES.batch;

/** Whether the link leaves the payload's checksum to the consumer. */
export function isCheckedByConsumer(type: number): boolean {
	return type === BATCH_TYPE;
}

/** Whether a peer may ignore a record of this type. */
export function isOptional(type: number): boolean {
	return (type & OPTIONAL_BIT) !== 0;
}

/** Whether the type belongs to links. */
export function isLinkType(type: number): boolean {
	return (type & ~OPTIONAL_BIT) <= LAST_LINK_TYPE;
}

const NAMES: ReadonlyMap<number, RecordName> = new Map(
	Object.keys(RECORD_TYPES)
		.filter(isRecordName)
		.map((name) => [RECORD_TYPES[name], name]),
);

/** The name of a record type; `undefined` for one this version does not know. */
export function recordName(type: number): RecordName | undefined {
	return NAMES.get(type);
}

function isRecordName(name: string): name is RecordName {
	return Object.hasOwn(RECORD_TYPES, name);
}
