// What the fixtures of tests/vectors/images hold: a parent and a child of one guest, page by page, and their code and state.
import { PAGE_BYTES } from "../../../bindings/ports/guest.ts";
import { pseudoRandomBytes } from "../lz4-inputs.ts";

/** Pages of the guest: of the parent, and of the child, which has grown. */
export const PARENT_PAGES = 9;
export const CHILD_PAGES = 12;

/** Code that the layout names. */
export const CODE: Uint8Array<ArrayBuffer> = new TextEncoder().encode("the code of the guest of the fixtures");

export const parentState = (): Uint8Array => pseudoRandomBytes(77, 30);
export const childState = (): Uint8Array => pseudoRandomBytes(78, 31);

/** The parent's memory: zero pages, noise, pages that compress, one content at two places. */
export function parentMemory(): Uint8Array<ArrayBuffer> {
	const memory = new Uint8Array(PARENT_PAGES * PAGE_BYTES);
	memory.set(pseudoRandomBytes(1, PAGE_BYTES), PAGE_BYTES);
	for (const page of [2, 3, 5]) memory.set(pseudoRandomBytes(page, 40), page * PAGE_BYTES + 100 * page);
	memory.fill(0x5a, 6 * PAGE_BYTES, 8 * PAGE_BYTES);
	return memory;
}

/** The child's memory, and the pages that differ from the parent's. */
export const CHANGED_PAGES: readonly number[] = [3, 5, 11];
export function childMemory(): Uint8Array<ArrayBuffer> {
	const memory = new Uint8Array(CHILD_PAGES * PAGE_BYTES);
	memory.set(parentMemory());
	memory.fill(0, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
	memory.set(pseudoRandomBytes(9, 33), 5 * PAGE_BYTES);
	memory.set(pseudoRandomBytes(10, 50), 11 * PAGE_BYTES + 4000);
	return memory;
}

/** Keys of the sealed fixture. */
export const ENCRYPTION_KEY: Uint8Array<ArrayBuffer> = new Uint8Array(32).fill(0x11);
export const SIGNING_KEY: Uint8Array<ArrayBuffer> = new Uint8Array(32).fill(0x22);
