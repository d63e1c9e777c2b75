/**
 * How a folder store lies on disk. Pure: names and bytes, no files.
 *
 *   format                                   FORMAT_TEXT: what this folder is, and the layout's version
 *   objects/NAME                             an object's bytes
 *   references/NAME/STATE/TOKEN              a reference's value
 *   temporary/PID-TOKEN                      what a process is writing; never read, removed when the process is gone
 *
 * NAME is a store's name with `+` for `/`. Names that differ only in case need a case-sensitive file system.
 *
 * STATE is `GENERATION-TOKEN` or `GENERATION-TOKEN-removed`. A reference's folder holds exactly one state, and the state's
 * *name* says which of the values in it counts: the file called TOKEN. A token is 16 random bytes in hex, so no state's
 * name ever comes back. Moving the reference is one rename of its state, see `folder-store.ts`.
 *
 * A value's file: "PFRV", the length (u16, little-endian), the value, CRC-32 of all before it (u32, little-endian).
 */
import { MAX_REFERENCE_BYTES, StoreError } from "../ports/store.ts";
import { isStoreName } from "../ports/store-names.ts";

/** The content of the file `format`. */
export const FORMAT_TEXT = "pageferry folder store 1\n";

/** The folders of a store. */
export const FOLDERS = ["objects", "references", "temporary"] as const;

/** @returns the file name of a store's name. */
export const fileNameOf = (name: string): string => name.replaceAll("/", "+");

/** @returns the store's name of a file name, or `undefined` if it is no store's. */
export function nameOfFile(fileName: string): string | undefined {
	if (fileName.includes("/")) return undefined;
	const name = fileName.replaceAll("+", "/");
	return isStoreName(name) ? name : undefined;
}

/** What the name of a state says. */
export interface ReferenceState {
	readonly generation: number;
	readonly token: string;
	readonly isRemoved: boolean;
}

/** @returns the folder name of a state. */
export const stateName = (state: ReferenceState): string =>
	`${state.generation}-${state.token}${state.isRemoved ? "-removed" : ""}`;

const STATE = /^([1-9][0-9]{0,15})-([0-9a-f]{32})(-removed)?$/;

/** @returns the state of the highest generation among these names, or `undefined` if there is none. */
export function latestState(names: readonly string[]): ReferenceState | undefined {
	let latest: ReferenceState | undefined;
	for (const name of names) {
		const [, generation, token, removed] = STATE.exec(name) ?? [];
		if (generation === undefined || token === undefined) continue;
		// One rename cannot leave two states; a file system that tears a rename apart at a crash can, and the new one counts.
		if (latest === undefined || Number(generation) > latest.generation)
			latest = { generation: Number(generation), token, isRemoved: removed !== undefined };
	}
	return latest;
}

/** @returns the process that writes a temporary file, or `undefined` if the name is no temporary file's. */
export function writerOf(temporaryName: string): number | undefined {
	const pid = /^([1-9][0-9]{0,9})-[0-9a-f]{32}$/.exec(temporaryName)?.[1];
	return pid === undefined ? undefined : Number(pid);
}

const MAGIC = [0x50, 0x46, 0x52, 0x56]; // PFRV
const HEADER_BYTES = 6;
const CHECKSUM_BYTES = 4;

/** @returns the bytes of a value's file. */
export function encodeReferenceValue(value: Uint8Array): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(HEADER_BYTES + value.byteLength + CHECKSUM_BYTES);
	const view = new DataView(bytes.buffer);
	bytes.set(MAGIC);
	view.setUint16(4, value.byteLength, true);
	bytes.set(value, HEADER_BYTES);
	const checked = HEADER_BYTES + value.byteLength;
	view.setUint32(checked, crc32(bytes.subarray(0, checked)), true);
	return bytes;
}

/**
 * @returns the value in a value's file.
 * @throws {StoreError} `invalid` if these bytes are not one: cut off, changed, or something else.
 */
export function decodeReferenceValue(bytes: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const checked = bytes.byteLength - CHECKSUM_BYTES;
	const isWhole =
		checked >= HEADER_BYTES &&
		checked <= HEADER_BYTES + MAX_REFERENCE_BYTES &&
		MAGIC.every((byte, index) => bytes[index] === byte) &&
		view.getUint16(4, true) === checked - HEADER_BYTES &&
		view.getUint32(checked, true) === crc32(bytes.subarray(0, checked));
	if (!isWhole) throw new StoreError("invalid", `the stored value of reference "${name}" is damaged`);
	return new Uint8Array(bytes.subarray(HEADER_BYTES, checked));
}

/** CRC-32 as in zip and Ethernet, bit by bit: at most 4 KiB, a few microseconds beside a disk's milliseconds. */
function crc32(bytes: Uint8Array): number {
	let remainder = 0xffffffff;
	for (const byte of bytes) {
		remainder ^= byte;
		for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
	}
	return ~remainder >>> 0;
}
