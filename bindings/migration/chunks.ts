// Long bytes as the records of a move carry them.

/** Pieces of at most `chunkBytes` with their offsets; one empty piece for no bytes. */
export function* chunks(
	bytes: Uint8Array<ArrayBuffer>,
	chunkBytes: number,
): Generator<[number, Uint8Array<ArrayBuffer>]> {
	for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += chunkBytes)
		yield [offset, bytes.subarray(offset, offset + chunkBytes)];
}
