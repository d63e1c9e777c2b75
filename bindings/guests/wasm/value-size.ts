// How much memory a value that structured cloning carries holds, roughly: what held output is bounded by.

/** For an object, a property, a number: what a small value costs in V8. */
const SMALL_BYTES = 16;
/** Values within values are looked at up to here; the rest counts as small. */
const MAX_VALUES = 10_000;

/** An estimate in bytes, never 0. Looks at {@link MAX_VALUES} at most, whatever the value's size, and so never throws. */
export function estimateBytes(value: unknown): number {
	let bytes = SMALL_BYTES;
	const left: unknown[] = [value];
	let noted = 1;
	const note = (parts: Iterable<unknown>, count: number): void => {
		bytes += count * SMALL_BYTES;
		// One by one: as arguments of one call a large array is more than the stack holds.
		for (const part of parts) {
			if (noted++ >= MAX_VALUES) return;
			left.push(part);
		}
	};
	while (left.length > 0) {
		const next = left.pop();
		if (typeof next === "string") bytes += 2 * next.length;
		else if (ArrayBuffer.isView(next) || next instanceof ArrayBuffer) bytes += next.byteLength;
		else if (next instanceof Map) {
			note(next.keys(), next.size);
			note(next.values(), next.size);
		} else if (next instanceof Set) note(next, next.size);
		else if (Array.isArray(next)) note(next, next.length);
		else if (typeof next === "object" && next !== null) {
			const values = Object.values(next);
			note(values, values.length);
		}
	}
	return bytes;
}
