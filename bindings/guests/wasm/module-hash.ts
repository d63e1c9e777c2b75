// Modules are told apart by the SHA-256 of their bytes as they came.
import type { ModuleFact } from "./protocol.ts";

/** @returns the hash in hex, and the length */
export async function moduleFact(bytes: Uint8Array<ArrayBuffer>): Promise<ModuleFact> {
	const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
	const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
	return { hash, byteLength: bytes.byteLength };
}
