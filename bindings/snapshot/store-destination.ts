/** A snapshot store as the destination of a save: pages into a writer, and the code that the guest needs. */
import type { Guest } from "../ports/guest.ts";
import { generationOf } from "./generation.ts";
import { SaveError } from "./save-error.ts";
import type { SaveDestination, SaveEnd, SaveSink, SaveStart } from "./saving.ts";
import type { SnapshotStore } from "./store.ts";
import type { SnapshotInfo } from "./store-info.ts";
import type { SnapshotWriter } from "./store-writer.ts";

/** What a snapshot is kept with. */
export interface StoredAs {
	/** The id of the snapshot that it builds on. */
	readonly parent?: string | undefined;
	readonly label?: string | undefined;
}

/** See the head of this file. */
export function storeDestination(
	guest: Guest,
	store: SnapshotStore,
	{ parent, label }: StoredAs,
): SaveDestination<SnapshotInfo> {
	return {
		async begin({ layout }: SaveStart): Promise<SaveSink<SnapshotInfo>> {
			const generation = generationOf(guest);
			const writer: SnapshotWriter = await store.begin({
				layout,
				...(parent === undefined ? {} : { parent }),
				...(generation === undefined ? {} : { generation }),
				...(label === undefined ? {} : { label }),
			});
			await storeCode(guest, writer);
			return {
				accept: (batch, signal) => writer.accept(batch, signal),
				grow: (pageCount, signal) => writer.grow(pageCount, signal),
				commit: ({ state, digest, facts }: SaveEnd) => writer.commit({ state, digest, facts }),
				abort: () => writer.abort(),
			};
		},
	};
}

/** Code that the guest needs and the store does not have yet. */
async function storeCode(guest: Guest, writer: SnapshotWriter): Promise<void> {
	try {
		for (const hash of writer.missingResources) {
			const bytes = await guest.state.resource(hash);
			if (bytes === undefined)
				throw new SaveError("guest", `the guest names a resource that it does not have: ${hash}`, { phase: "begin" });
			await writer.addResource(hash, bytes);
		}
	} catch (error) {
		await writer.abort().catch(() => undefined); // the first failure is what counts; a prune removes the rest
		throw error;
	}
}
