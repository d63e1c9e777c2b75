/** A Linux in v86 for either side of `pageferry demo --guest v86`; see machine-host.ts. */
import { loadV86, V86Guest, V86GuestFactory, type V86WorkerGuest, V86WorkerGuestFactory } from "../guests/v86/index.ts";
import type { Guest, GuestFactory, PreparedTarget } from "../ports/guest.ts";
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
	#guest: Guest | undefined;

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
			{ snapshot: await store.open(ready.id), factories: [await this.#factory(false)], clock, random },
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

	async standBy(heard: Heard, faulting: boolean): Promise<{ readonly factory: GuestFactory; readonly what: string }> {
		const factory = await this.#factory(faulting);
		this.#signal.throwIfAborted();
		const what = faulting ? "v86 is loaded, for a worker thread that can wait for pages" : "v86 is loaded";
		return { factory: this.#heard(factory, heard), what };
	}

	async close(): Promise<void> {
		await this.#guest?.discard();
	}

	/** On this thread the Linux is paused soonest; in a worker it can wait for pages. */
	async #factory(faulting: boolean): Promise<V86GuestFactory | V86WorkerGuestFactory> {
		const { files, clock, workers } = this.#platform;
		const v86 = await loadV86(files);
		return faulting ? new V86WorkerGuestFactory({ v86, clock, workers }) : new V86GuestFactory({ v86, clock });
	}

	#heard(factory: V86GuestFactory | V86WorkerGuestFactory, heard: Heard): GuestFactory {
		return {
			kind: factory.kind,
			check: (layout, options) => factory.check(layout, options),
			missing: () => factory.missing(),
			setUp: async (...args) => {
				const prepared: PreparedTarget & { readonly guest: V86Guest | V86WorkerGuest } = await factory.setUp(...args);
				this.#guest = prepared.guest;
				prepared.guest.serial.listen(heard);
				return prepared;
			},
		};
	}
}
