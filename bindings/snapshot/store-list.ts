/**
 * The list of a store's snapshots. One that cannot be read is never left out in silence: whoever deletes what is not on the list
 * would delete it, and it may only have been a disk that failed once, or the wrong key.
 */
import { SnapshotError } from "./image-error.ts";
import type { Catalog } from "./store-catalog.ts";
import { infoOf, type SnapshotInfo } from "./store-info.ts";

/** A snapshot that is there and cannot be read. */
export interface UnreadableSnapshot {
	/** Its id; `undefined` where its head itself is damaged. */
	readonly id?: string;
	/** Where it stops: the name of the head, or of the manifest. */
	readonly object: string;
	readonly error: SnapshotError;
}

/** See {@link listSnapshots}. */
export interface SnapshotListOptions {
	/** Is told of each snapshot that cannot be read; the others are listed. Left out: one such fails the whole list. */
	readonly onUnreadable?: (snapshot: UnreadableSnapshot) => void;
}

/** All snapshots, in the order in which they were begun. @throws {SnapshotError} see {@link SnapshotListOptions}. */
export async function listSnapshots(catalog: Catalog, { onUnreadable }: SnapshotListOptions): Promise<SnapshotInfo[]> {
	const unreadable: UnreadableSnapshot[] = [];
	const infos: SnapshotInfo[] = [];
	const heads = await catalog.heads.list((error, object) => void unreadable.push({ object, error }));
	for (const { id, head } of heads) {
		if (head.phase !== "kept") continue;
		try {
			const description = await catalog.describeNow(id, head);
			if (description !== undefined) infos.push(infoOf(description));
		} catch (error) {
			if (!(error instanceof SnapshotError)) throw error;
			unreadable.push({ id, object: error.object ?? id, error });
		}
	}
	if (onUnreadable !== undefined) for (const one of unreadable) onUnreadable(one);
	else if (unreadable.length > 0) throw refusal(unreadable, infos.length);
	return infos.sort((a, b) => a.sequence - b.sequence || (a.id < b.id ? -1 : 1));
}

function refusal(unreadable: readonly UnreadableSnapshot[], others: number): SnapshotError {
	const { error } = unreadable[0]!;
	const more = unreadable.length === 1 ? "" : `, nor can ${unreadable.length - 1} more`;
	const words = `${error.message}${more}; ${others} can be read, list them with onUnreadable`;
	return new SnapshotError(error.code, words, {}, error);
}
