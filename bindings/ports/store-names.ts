/** The arguments that every store refuses in the same way: see `store.ts` for what a name may be. */
import { type ByteRange, MAX_REFERENCE_BYTES } from "./store.ts";

/** Short enough that a name, with what a folder store adds, is one file name everywhere (255 bytes). */
const MAX_NAME_CHARACTERS = 200;
const NAME = /^[a-zA-Z0-9._-]+(\/[a-zA-Z0-9._-]+)*$/;

/** Whether `name` is a name as `store.ts` defines it. */
export function isStoreName(name: string): boolean {
	return (
		name.length <= MAX_NAME_CHARACTERS &&
		NAME.test(name) &&
		!name.split("/").some((part) => part === "." || part === "..")
	);
}

/** @throws RangeError naming the argument. */
export function checkStoreName(name: string): void {
	if (isStoreName(name)) return;
	const rule = `1 to ${MAX_NAME_CHARACTERS} characters of a-z A-Z 0-9 . _ - with / between parts that are not . or ..`;
	throw new RangeError(`name: must be ${rule}, got ${JSON.stringify(name)}`);
}

/** @throws RangeError naming the argument. */
export function checkReferenceValue(argument: string, value: Uint8Array | undefined): void {
	if (value !== undefined && value.byteLength > MAX_REFERENCE_BYTES)
		throw new RangeError(
			`${argument}: a reference holds at most ${MAX_REFERENCE_BYTES} bytes, got ${value.byteLength}`,
		);
}

/** @throws RangeError naming the argument. */
export function checkByteRange(range: ByteRange): void {
	for (const key of ["offset", "byteLength"] as const)
		if (!Number.isSafeInteger(range[key]) || range[key] < 0)
			throw new RangeError(`range.${key}: must be a whole number, 0 or more, got ${range[key]}`);
}
