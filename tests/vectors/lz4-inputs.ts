// The inputs of the LZ4 vectors, by name. lz4.json holds the blocks that liblz4 made of them (see make-lz4.mjs).

/** xorshift32: the same bytes on every runtime. */
export function pseudoRandomBytes(seed: number, byteLength: number): Uint8Array {
	const bytes = new Uint8Array(byteLength);
	let state = seed | 1;
	for (let i = 0; i < byteLength; i++) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		bytes[i] = state >>> 24;
	}
	return bytes;
}

function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
	return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Words of a small alphabet in pseudo-random order: compresses about as well as program text. */
function words(seed: number, byteLength: number): Uint8Array {
	const list = ["page ", "round ", "dirty ", "source ", "target ", "the ", "\n", "epoch "];
	const choice = pseudoRandomBytes(seed, byteLength);
	const text = Array.from(choice, (byte) => list[byte & 7]).join("");
	return new TextEncoder().encode(text).subarray(0, byteLength);
}

/** A page of little-endian 64-bit values that count up, as arrays of pointers look. */
function pointers(byteLength: number): Uint8Array {
	const view = new DataView(new ArrayBuffer(byteLength));
	for (let i = 0; i < byteLength; i += 8) view.setBigUint64(i, 0x7f3a_1c00_0000n + BigInt(i * 13), true);
	return new Uint8Array(view.buffer);
}

export function lz4Inputs(): Map<string, Uint8Array> {
	const inputs = new Map<string, Uint8Array>();
	for (const length of [0, 1, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 31, 64])
		inputs.set(`zeros ${length}`, new Uint8Array(length));
	for (const length of [1, 12, 13, 15, 16, 270, 271]) inputs.set(`random ${length}`, pseudoRandomBytes(length, length));
	for (const period of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33]) {
		const cell = pseudoRandomBytes(period, period);
		inputs.set(
			`period ${period}`,
			Uint8Array.from({ length: 600 }, (_, i) => cell[i % period]!),
		);
	}
	inputs.set("page of zeros", new Uint8Array(4096));
	inputs.set("page of words", words(7, 4096));
	inputs.set("page of pointers", pointers(4096));
	inputs.set("page half random", concat(pseudoRandomBytes(3, 2048), new Uint8Array(2048)));
	inputs.set(
		"page with a late match",
		concat(pseudoRandomBytes(9, 64), pseudoRandomBytes(5, 3900), pseudoRandomBytes(9, 64)),
	);
	inputs.set("64 KiB of zeros", new Uint8Array(65536));
	inputs.set("64 KiB of words", words(11, 65536));
	const far = new Uint8Array(65536);
	far.set(pseudoRandomBytes(21, 64));
	far.set(pseudoRandomBytes(21, 64), 65400);
	inputs.set("64 KiB, match at the largest distance", far);
	return inputs;
}
