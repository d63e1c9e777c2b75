/** A folder for secrets that is there already: whose it must be. A guest's memory must not be readable to others. */
import { StoreError } from "../ports/store.ts";

/** What a folder is. */
interface FolderFacts {
	readonly isFolder: boolean;
	readonly mode: number | null;
	readonly userId: number | null;
}

/** @throws {StoreError} `invalid` if it is no folder, another user's, or open to others. */
export function checkPrivateFolder(path: string, facts: FolderFacts, userId: number | null | undefined): void {
	const why = !facts.isFolder
		? "it is no folder"
		: facts.userId !== (userId ?? facts.userId)
			? "it belongs to another user"
			: ((facts.mode ?? 0) & 0o077) !== 0
				? "others may enter it"
				: undefined;
	if (why !== undefined)
		throw new StoreError(
			"invalid",
			`${path} cannot hold what only this user may read: ${why}; remove it, or name another`,
		);
}

/** Whether the system's code says that a file, or the process that it tells of, is no more. */
export function isGone(systemCode: string | undefined): boolean {
	return systemCode === "ENOENT" || systemCode === "ESRCH";
}
