// A paused wasm guest that follows one which runs elsewhere, inside its worker: a checkpoint is verified as a whole, then
// installed in one step, in which nobody else has the thread.
import { PAGE_BYTES } from "../../ports/guest.ts";
import type { GuestInstance } from "./guest-instance.ts";
import type { PageWork } from "./page-work.ts";
import type { Empty, Jobs } from "./protocol.ts";

/** See the head of this file. */
export class StandbyWork {
	#state: Uint8Array<ArrayBuffer> | undefined;

	/** @throws BatchError, GuestError `too-large` or `state`; nothing has changed then */
	apply({ checkpoint }: Jobs["apply-checkpoint"]["order"], instance: GuestInstance, work: PageWork): Empty {
		const { pageCount, batches, state } = checkpoint;
		const size = Math.max(pageCount, instance.pageCount);
		for (const { bytes, checksum } of batches) work.decoder.decode(bytes, { pageCount: size, checksum });
		instance.extend(size);
		for (const { bytes, checksum } of batches) {
			const batch = work.decoder.decode(bytes, { pageCount: size, checksum });
			batch.install(new Uint8Array(instance.memory.buffer));
			for (const page of batch.pageIndices()) work.barrier?.wrote(page * PAGE_BYTES, PAGE_BYTES);
		}
		this.#state = state;
		return {};
	}

	/** Puts the last checkpoint's state in place. @throws GuestError `state` */
	async settle(instance: GuestInstance): Promise<Empty> {
		if (this.#state !== undefined) await instance.restore(this.#state);
		return {};
	}
}
