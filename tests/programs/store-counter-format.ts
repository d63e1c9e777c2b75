// The counter's value: its number and a long tail that follows from it, so that a torn value cannot pass for a whole one.
const VALUE_BYTES = 3000;
const OBJECT_BYTES = 20_000;

const filled = (number: number, byteLength: number) =>
	Uint8Array.from({ length: byteLength }, (_, index) => (number * 131 + index * 7) & 255);

export function counterValue(number: number): Uint8Array<ArrayBuffer> {
	const bytes = filled(number, VALUE_BYTES);
	new DataView(bytes.buffer).setUint32(0, number);
	return bytes;
}

/** @throws RangeError for a value that is not one of the counter's. */
export function readCounter(value: Uint8Array | undefined): number {
	if (value === undefined) return 0;
	const number = new DataView(value.buffer, value.byteOffset).getUint32(0);
	const expected = counterValue(number);
	if (value.byteLength !== expected.byteLength || value.some((byte, index) => byte !== expected[index]))
		throw new RangeError(`the value of ${number} is torn`);
	return number;
}

export const objectBytes = (number: number): Uint8Array<ArrayBuffer> => filled(number, OBJECT_BYTES);
