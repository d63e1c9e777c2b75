// Deltas the slow way, byte by byte and word by word, from the descriptions in assembly/delta.ts.

/** A length in one or two bytes. */
function lengthBytes(length: number): number[] {
	return length < 128 ? [length] : [(length & 127) | 128, length >> 7];
}

/**
 * XBZRLE with QEMU's order of checks.
 *
 * @returns the delta, empty when nothing changed; undefined when it does not fit
 */
export function encodeXbzrle(before: Uint8Array, after: Uint8Array, capacity: number): Uint8Array | undefined {
	const out: number[] = [];
	let at = 0;
	while (at < after.length) {
		if (out.length + 2 > capacity) return undefined;
		const unchangedFrom = at;
		while (at < after.length && before[at] === after[at]) at++;
		if (at === after.length) break;
		out.push(...lengthBytes(at - unchangedFrom));
		if (out.length + 2 > capacity) return undefined;
		const changedFrom = at;
		while (at < after.length && before[at] !== after[at]) at++;
		out.push(...lengthBytes(at - changedFrom));
		if (out.length + (at - changedFrom) > capacity) return undefined;
		out.push(...after.subarray(changedFrom, at));
	}
	return Uint8Array.from(out);
}

/** @returns the changed page and how far the delta went; undefined when it is malformed */
export function decodeXbzrle(delta: Uint8Array, before: Uint8Array): { page: Uint8Array; reached: number } | undefined {
	const page = before.slice();
	let at = 0;
	let reached = 0;
	const length = (): number => {
		const low = delta[at++]!;
		if (low < 128) return low;
		const high = delta[at++];
		return high === undefined || high > 127 ? Number.NaN : (low & 127) | (high << 7);
	};
	while (at < delta.length) {
		const isFirst = at === 0;
		if (delta.length - at < 2) return undefined;
		const unchanged = length();
		if (!(unchanged > 0 || (unchanged === 0 && isFirst))) return undefined;
		reached += unchanged;
		if (reached > page.length || delta.length - at < 2) return undefined;
		const changed = length();
		if (!(changed > 0) || reached + changed > page.length || at + changed > delta.length) return undefined;
		page.set(delta.subarray(at, at + changed), reached);
		reached += changed;
		at += changed;
	}
	return { page, reached };
}

const words = (bytes: Uint8Array): BigUint64Array => new BigUint64Array(bytes.slice().buffer);

/** @returns the delta, empty when nothing changed; undefined when it does not fit */
export function encodeWordMask(before: Uint8Array, after: Uint8Array, capacity: number): Uint8Array | undefined {
	const [old, now] = [words(before), words(after)];
	const masks: number[] = [];
	const changed: bigint[] = [];
	let blocks = 0n;
	for (let block = 0; block < 64; block++) {
		let mask = 0;
		for (let word = 0; word < 8; word++) {
			if (old[block * 8 + word] === now[block * 8 + word]) continue;
			mask |= 1 << word;
			changed.push(now[block * 8 + word]!);
		}
		if (mask === 0) continue;
		blocks |= 1n << BigInt(block);
		masks.push(mask);
	}
	if (masks.length === 0) return new Uint8Array(0);
	const head = new Uint8Array(BigUint64Array.of(blocks).buffer);
	const tail = new Uint8Array(BigUint64Array.from(changed).buffer);
	const delta = Uint8Array.from([...head, ...masks, ...tail]);
	return delta.length > capacity ? undefined : delta;
}

/** @returns the changed page; undefined when the delta is malformed */
export function decodeWordMask(delta: Uint8Array, before: Uint8Array): Uint8Array | undefined {
	if (delta.length < 8) return undefined;
	const blocks = words(delta.subarray(0, 8))[0]!;
	const list = Array.from({ length: 64 }, (_, block) => block).filter((block) => (blocks >> BigInt(block)) & 1n);
	let at = 8 + list.length;
	if (list.length === 0 || delta.length < at) return undefined;
	const page = before.slice();
	for (const [position, block] of list.entries()) {
		const mask = delta[8 + position]!;
		if (mask === 0) return undefined;
		for (let word = 0; word < 8; word++) {
			if (((mask >> word) & 1) === 0) continue;
			if (at + 8 > delta.length) return undefined;
			page.set(delta.subarray(at, at + 8), block * 64 + word * 8);
			at += 8;
		}
	}
	return at === delta.length ? page : undefined;
}
