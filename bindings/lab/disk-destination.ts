/**
 * A local disk as the destination of a save, in modelled bytes: the image of a synthetic guest is not kept, its pages are
 * charged what they would take. What a save does is the real technique's; only the file is a model.
 */
import type { SaveDestination } from "../snapshot/saving.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** @returns where a save's pages go; the snapshot is its size on the disk, in modelled bytes. */
export function diskDestination(disk: SimulatedDisk): SaveDestination<number> {
	return {
		begin: () =>
			Promise.resolve({
				accept: ({ wireByteLength }, signal) => disk.write(wireByteLength, signal),
				grow: () => Promise.resolve(),
				commit: async ({ state }) => {
					await disk.write(state.byteLength);
					return disk.usedBytes;
				},
				abort: () => Promise.resolve(),
			}),
	};
}
