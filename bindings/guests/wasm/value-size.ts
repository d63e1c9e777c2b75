// How much memory a value that structured cloning carries holds, roughly: what held output is bounded by.

/** For an object, a property, a number: what a small value costs in V8. */
const SMALL_BYTES = 16;
/** Values within values are looked at up to here; the rest counts as small. */
const MAX_VALUES = 10_000;

/** An estimate in bytes, never 0. */
export function estimateBytes(value: unknown): number {
	let bytes = 0;
	const left: unknown[] = [value];
	for (let seen = 0; left.length > 0 && seen < MAX_VALUES; seen++) {
		const next = left.pop();
		bytes += SMALL_BYTES;
		if (typeof next === "string") bytes += 2 * next.length;
		else if (ArrayBuffer.isView(next) || next instanceof ArrayBuffer) bytes += next.byteLength;
		else if (next instanceof Map) for (const [key, entry] of next) left.push(key, entry);
		else if (next instanceof Set) left.push(...next);
		else if (typeof next === "object" && next !== null) left.push(...Object.values(next));
	}
	return bytes + left.length * SMALL_BYTES;
}
