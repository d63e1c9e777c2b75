/** A Linux under QEMU for either side of `pageferry demo --guest qemu`; see machine-host.ts. */
import { type QemuGuest, QemuGuestFactory, type QemuMachine, startQemuGuest } from "../guests/qemu/index.ts";
import type { GuestFactory } from "../ports/guest.ts";
import type { Platform } from "../ports/platform.ts";
import type { BootedMachine, Heard, MachineSide } from "./machine-side.ts";

/** Where `npm run guests` leaves kernel and initramfs. */
export const QEMU_ASSETS = {
	kernel: "build/guests/assets/qemu/vmlinuz",
	initrd: "build/guests/assets/qemu/initramfs.gz",
};

/** The same on both sides. The timer check counts ticks while a busy host may give the machine none, and then panics. */
const MACHINE: QemuMachine = {
	memoryMiB: 128,
	boot: { ...QEMU_ASSETS, append: "console=ttyS0 quiet panic=-1 no_timer_check" },
};
/** The shell's greeting: from here on it takes what is typed. */
const GREETING = "Enter 'help'";

/** See the head of this file. */
export function openQemuSide(platform: Platform, signal: AbortSignal): MachineSide {
	return new QemuSide(platform, signal);
}

class QemuSide implements MachineSide {
	readonly #platform: Platform;
	readonly #signal: AbortSignal;
	#guest: QemuGuest | undefined;
	#factory: QemuGuestFactory | undefined;

	constructor(platform: Platform, signal: AbortSignal) {
		this.#platform = platform;
		this.#signal = signal;
	}

	async boot(heard: Heard): Promise<BootedMachine> {
		const guest = await startQemuGuest(this.#platform, { machine: MACHINE });
		this.#guest = guest;
		this.#signal.throwIfAborted();
		await this.#greeted(guest);
		guest.console.onText(heard);
		const what = `Linux of ${guest.pages.pageCount / 256} MiB in QEMU ${guest.pid}, tracked by ${guest.dirty.tracker}`;
		return { guest, what, type: (text) => guest.console.write(text) };
	}

	async standBy(heard: Heard): Promise<{ readonly factory: GuestFactory; readonly what: string }> {
		const factory = await QemuGuestFactory.open(this.#platform, { machine: MACHINE });
		this.#factory = factory;
		this.#signal.throwIfAborted();
		await factory.prepareStandbys(1);
		this.#signal.throwIfAborted();
		return { factory: this.#heard(factory, heard), what: "a QEMU stands by" };
	}

	async close(): Promise<void> {
		await this.#guest?.discard();
		await this.#factory?.close();
	}

	/** @throws {GuestError} when its QEMU ends first, the signal's reason */
	#greeted(guest: QemuGuest): Promise<void> {
		const signal = this.#signal;
		return new Promise((resolve, reject) => {
			const look = (line: string): void => void (line.startsWith(GREETING) && resolve());
			guest.console.onLine(look);
			guest.console.recent.forEach(look);
			signal.addEventListener("abort", () => reject(signal.reason));
			void guest.ended.then(reject);
		});
	}

	#heard(factory: QemuGuestFactory, heard: Heard): GuestFactory {
		return {
			kind: factory.kind,
			check: (layout, options) => factory.check(layout, options),
			missing: () => factory.missing(),
			setUp: async (...args) => {
				const prepared = await factory.setUp(...args);
				this.#guest = prepared.guest;
				prepared.guest.console.onText(heard);
				return prepared;
			},
		};
	}
}
