/** The file system's errors in a store's words. */
import { StoreError } from "../ports/store.ts";
import { messageOf, systemCodeOf } from "./stream-errors.ts";

/** No room on the medium, or in the user's share of it. */
const FULL = ["ENOSPC", "EDQUOT"];

/** Whether the system gave its error this name (`ENOENT`). */
export const hasCode = (error: unknown, code: string): boolean => systemCodeOf(error) === code;

/** @returns `full` or `failed` with the system's error as cause; a store's own error passes as it is. */
export function storeError(error: unknown, what: string): StoreError {
	if (error instanceof StoreError) return error;
	const code = FULL.includes(systemCodeOf(error) ?? "") ? "full" : "failed";
	return new StoreError(code, `${what}: ${messageOf(error)}`, error);
}
