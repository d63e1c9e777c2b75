/**
 * A process that has a QEMU of its own: either side of `pageferry demo --guest qemu`.
 *
 *   print address ─▶ leash (the command's own connection): orders ─▶ news, line by line, until the leash ends
 *
 *   source: boot ─▶ programs work ─▶ move            target: stand by ─▶ the guest's link ─▶ programs work on
 *
 * Each line on standard output is one JSON value: {@link QemuHostNews}. When the leash ends the process ends its QEMU.
 */
import { type QemuGuest, QemuGuestFactory, type QemuMachine, startQemuGuest } from "../guests/qemu/index.ts";
import { openLink } from "../links/open-link.ts";
import type { MoveMetrics, MoveProgress, Verification } from "../migration/metrics.ts";
import { preCopy } from "../migration/pre-copy.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import { receiveGuest } from "../migration/target.ts";
import type { ByteStreamListener, StreamAddress } from "../ports/byte-stream.ts";
import type { GuestFactory } from "../ports/guest.ts";
import { LinkError } from "../ports/link.ts";
import type { Platform } from "../ports/platform.ts";
import { messageWithCauses } from "./failure.ts";
import { LineStream } from "./line-stream.ts";
import { PROGRAMS } from "./linux-console.ts";

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

/** What the command tells the process. */
export type QemuHostOrder = { readonly order: "boot" } | { readonly order: "stand-by" } | QemuMoveOrder;

/** Where to, and how. */
export interface QemuMoveOrder {
	readonly order: "move";
	readonly target: StreamAddress;
	readonly technique: "pre-copy" | "stop-and-copy";
	readonly verification: Verification;
	readonly bandwidthBytesPerMs?: number;
}

/** What the process says. */
export type QemuHostNews =
	| { readonly news: "hello"; readonly address: StreamAddress; readonly runtime: string }
	| { readonly news: "ready"; readonly what: string }
	| { readonly news: "text"; readonly text: string }
	| { readonly news: "progress"; readonly progress: MoveProgress }
	| {
			readonly news: "move";
			readonly outcome: string;
			readonly metrics: MoveMetrics;
			readonly failure: string | undefined;
	  }
	| { readonly news: "failed"; readonly message: string };

type Say = (news: QemuHostNews) => void;

/** Resolves when the command has gone and the process has no QEMU left. @throws {LinkError} when it cannot listen */
export async function runQemuHost(platform: Platform, runtime: string): Promise<void> {
	const say: Say = (news) => console.log(JSON.stringify(news));
	const door = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	say({ news: "hello", address: door.address, runtime });
	const leash = await door.accept();
	if (leash === undefined) return;
	const host = new QemuHost(platform, door, say);
	try {
		for await (const order of new LineStream<never, QemuHostOrder>(leash).messages()) host.obey(order);
	} catch (error) {
		// A command that is killed does not close in order.
		if (!(error instanceof LinkError)) throw error;
	} finally {
		await host.close();
	}
}

class QemuHost {
	readonly #platform: Platform;
	readonly #door: ByteStreamListener;
	readonly #say: Say;
	readonly #stop: AbortController = new AbortController();
	readonly #work: Promise<void>[] = [];
	#guest: QemuGuest | undefined;
	#factory: QemuGuestFactory | undefined;

	constructor(platform: Platform, door: ByteStreamListener, say: Say) {
		this.#platform = platform;
		this.#door = door;
		this.#say = say;
	}

	obey(order: QemuHostOrder): void {
		const doing = order.order === "boot" ? this.#boot() : order.order === "move" ? this.#move(order) : this.#standBy();
		this.#work.push(doing.catch((error: unknown) => this.#say({ news: "failed", message: messageWithCauses(error) })));
	}

	async close(): Promise<void> {
		this.#stop.abort("the command has gone");
		await this.#door.close();
		await this.#guest?.discard();
		await this.#factory?.close();
		await Promise.all(this.#work);
		// What was started meanwhile.
		await this.#guest?.discard();
		await this.#factory?.close();
	}

	async #boot(): Promise<void> {
		const guest = await startQemuGuest(this.#platform, { machine: MACHINE });
		this.#guest = guest;
		const isUp = new Promise<void>((resolve, reject) => {
			const look = (line: string): void => void (line.startsWith(GREETING) && resolve());
			guest.console.onLine(look);
			guest.console.recent.forEach(look);
			this.#stop.signal.addEventListener("abort", () => reject(this.#stop.signal.reason));
			void guest.ended.then(reject);
		});
		await isUp;
		guest.console.onText((text) => this.#say({ news: "text", text }));
		this.#say({
			news: "ready",
			what: `Linux of ${guest.pages.pageCount / 256} MiB in QEMU ${guest.pid}, tracked by ${guest.dirty.tracker}`,
		});
		await guest.console.write(PROGRAMS);
	}

	async #move({ target, technique, verification, bandwidthBytesPerMs }: QemuMoveOrder): Promise<void> {
		const { clock, random, connect } = this.#platform;
		if (this.#guest === undefined) throw new RangeError("move: there is no guest yet");
		const link = openLink(await connect(target));
		const move = technique === "pre-copy" ? preCopy : stopAndCopy;
		const result = await move(
			{ guest: this.#guest, link, clock, random },
			{
				verification,
				signal: this.#stop.signal,
				onProgress: (progress) => this.#say({ news: "progress", progress }),
				...(bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs }),
			},
		);
		const { outcome, metrics } = result;
		const failure = result.outcome === "moved" ? undefined : messageWithCauses(result.error);
		this.#say({ news: "move", outcome, metrics, failure });
	}

	async #standBy(): Promise<void> {
		const { clock } = this.#platform;
		const factory = await QemuGuestFactory.open(this.#platform, { machine: MACHINE });
		this.#factory = factory;
		await factory.prepareStandbys(1);
		this.#say({ news: "ready", what: "a QEMU stands by" });
		const stream = await this.#door.accept();
		if (stream === undefined) return;
		const result = await receiveGuest({ link: openLink(stream), factories: [this.#heard(factory)], clock });
		if (result.outcome === "discarded") throw result.error;
	}

	/** Listens to a target's console from before it runs: not a character may be lost. */
	#heard(factory: QemuGuestFactory): GuestFactory {
		return {
			kind: factory.kind,
			check: (layout, options) => factory.check(layout, options),
			missing: () => factory.missing(),
			setUp: async (...args) => {
				const prepared = await factory.setUp(...args);
				this.#guest = prepared.guest;
				prepared.guest.console.onText((text) => this.#say({ news: "text", text }));
				return prepared;
			},
		};
	}
}
