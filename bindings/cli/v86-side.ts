/** A Linux in v86 for either side of `pageferry demo --guest v86`; see machine-host.ts. */
import { loadV86, V86Guest, V86GuestFactory } from "../guests/v86/index.ts";
import type { GuestFactory } from "../ports/guest.ts";
import type { Platform } from "../ports/platform.ts";
import { restore } from "../snapshot/restore.ts";
import { SnapshotStore } from "../snapshot/store.ts";
import type { BootedMachine, Heard, MachineSide } from "./machine-side.ts";
import { MissingLinuxError } from "./missing-linux.ts";

/** Where `npm run guests` leaves the Linux. */
export const V86_READY = "build/guests/ready/v86";

/** See the head of this file. */
export function openV86Side(platform: Platform, signal: AbortSignal): MachineSide {
	return new V86Side(platform, signal);
}

class V86Side implements MachineSide {
	readonly #platform: Platform;
	readonly #signal: AbortSignal;
	#guest: V86Guest | undefined;

	constructor(platform: Platform, signal: AbortSignal) {
		this.#platform = platform;
		this.#signal = signal;
	}

	/** It has booted long ago: the snapshot of a Linux at its shell is restored. @throws {MissingLinuxError} */
	async boot(heard: Heard): Promise<BootedMachine> {
		const { clock, random, openFolderStore } = this.#platform;
		const store = new SnapshotStore(await openFolderStore(`${V86_READY}/store`), { clock, random });
		const [ready] = await store.list();
		if (ready === undefined)
			throw new MissingLinuxError(`${V86_READY}/store holds no snapshot: remove it, \`npm run guests\``);
		const { guest } = await restore(
			{ snapshot: await store.open(ready.id), factories: [await this.#factory()], clock, random },
			{ clock: "continue", random: "keep" },
		);
		if (!(guest instanceof V86Guest)) {
			await guest.discard();
			throw new MissingLinuxError(`${V86_READY}/store holds another guest`);
		}
		this.#guest = guest;
		this.#signal.throwIfAborted();
		guest.serial.listen(heard);
		const what = `Linux of ${guest.pages.pageCount / 256} MiB in v86, tracked by ${guest.dirty.tracker}`;
		return { guest, what, type: async (text) => guest.serial.write(text) };
	}

	async standBy(heard: Heard): Promise<{ readonly factory: GuestFactory; readonly what: string }> {
		const factory = await this.#factory();
		this.#signal.throwIfAborted();
		return { factory: this.#heard(factory, heard), what: "v86 is loaded" };
	}

	async close(): Promise<void> {
		await this.#guest?.discard();
	}

	async #factory(): Promise<V86GuestFactory> {
		const { files, clock } = this.#platform;
		return new V86GuestFactory({ v86: await loadV86(files), clock });
	}

	#heard(factory: V86GuestFactory, heard: Heard): GuestFactory {
		return {
			kind: factory.kind,
			check: (layout, options) => factory.check(layout, options),
			missing: () => factory.missing(),
			setUp: async (...args) => {
				const prepared = await factory.setUp(...args);
				this.#guest = prepared.guest;
				prepared.guest.serial.listen(heard);
				return prepared;
			},
		};
	}
}
