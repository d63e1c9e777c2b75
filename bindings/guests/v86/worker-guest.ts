/**
 * A PC in v86 as a guest in a worker thread: the same machine as {@link V86Guest}, which may also run while pages are missing.
 * There it stands still where it touches one, and its host does not.
 *
 *   host: this ── jobs ──▶ worker: V86Guest, its pages, its dirty log
 *         inbox of pages ─────────▶ page walk: the page is missing ─▶ stands still until it is there
 *
 * Its layout is a V86Guest's: either moves to either. What is asked while the guest stands still is answered when it goes on.
 */
import type { BallooningGuest, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import type { FaultingGuest } from "../../ports/faulting-guest.ts";
import { GuestError, type GuestState, type Interruptions, PAGE_BYTES, type PauseOptions } from "../../ports/guest.ts";
import type { WorkerPort } from "../../ports/worker.ts";
import { InboxFaults } from "../inbox-faults.ts";
import { throwLater } from "../listeners.ts";
import { reachPause } from "../worker-pause.ts";
import { startOrDiscard } from "./boot.ts";
import { checkVersion } from "./emulator.ts";
import { checkFirmware, type V86Firmware } from "./firmware.ts";
import { pinnedPages, type StartV86GuestOptions, type V86GuestOptions } from "./guest.ts";
import { hardwareOf, type V86Hardware } from "./hardware.ts";
import { compiledModule } from "./machine.ts";
import { NetworkCard, type V86NetworkCard } from "./network-card.ts";
import { SerialPort, type V86SerialPort } from "./serial-port.ts";
import { WorkerClient } from "./worker-client.ts";
import { WorkerDirtyLog, WorkerPages } from "./worker-pages.ts";
import type { GuestReport, V86Progress } from "./worker-protocol.ts";

/** What a guest in a worker needs wherever it runs. */
export interface V86WorkerGuestOptions extends V86GuestOptions {
	/** `localPlatform().workers`. The worker loads the package v86 itself. */
	readonly workers: WorkerPort;
}

/** What {@link V86WorkerGuest.start} takes. */
export interface StartV86WorkerGuestOptions extends StartV86GuestOptions, V86WorkerGuestOptions {}

/**
 * See the head of this file. Made by {@link V86WorkerGuest.start}, or by a V86WorkerGuestFactory as a target.
 *
 * @example
 * ```ts ignore
 * const { clock, files, workers } = localPlatform();
 * const factory = new V86WorkerGuestFactory({ v86: await loadV86(files), clock, workers });
 * const received = await receiveGuest({ link, factories: [factory], clock }); // post-copy's target
 * ```
 */
export class V86WorkerGuest implements FaultingGuest {
	readonly kind = "v86";
	readonly pages: WorkerPages;
	readonly dirty: WorkerDirtyLog;
	readonly state: GuestState;
	readonly faulting: InboxFaults;
	readonly serial: V86SerialPort;
	readonly network: V86NetworkCard;
	/** For {@link BallooningV86WorkerGuest}. */
	protected readonly driven: GuestBalloon;
	readonly #worker: WorkerClient;
	readonly #clock: Clock;
	readonly #serial: SerialPort;
	readonly #network: NetworkCard;
	readonly #crashed: Promise<GuestError>;
	#onCrash: (error: GuestError) => void = () => undefined;
	#report: GuestReport | undefined;
	#status: "running" | "pausing" | "paused" | "gone" = "paused";
	#pausing: Promise<void> | undefined;
	#slicesMs: number[] = [];
	#pauseWaitMs = 0;

	/** For {@link V86WorkerGuest.build}. */
	protected constructor(options: V86WorkerGuestOptions, { memoryByteLength }: V86Hardware) {
		const { workers, clock, onListenerError, network } = options;
		const pageCount = memoryByteLength / PAGE_BYTES;
		const report = onListenerError ?? throwLater;
		this.#clock = clock;
		this.#crashed = new Promise((resolve) => {
			this.#onCrash = resolve;
		});
		this.#worker = new WorkerClient(workers.start("v86-guest"), {
			onReport: (news) => this.#note(news),
			onSerial: (text) => {
				for (let index = 0; index < text.length; index++) this.#serial.put(text.charCodeAt(index));
				this.#serial.flush();
			},
			onFrame: (frame) => {
				this.#network.put(frame);
				this.#network.flush();
			},
			onFaultMessage: (message) => this.faulting.hear(message),
			onCrash: (error) => this.#crash(error),
			onEnd: (error) => this.#crash(error),
		});
		const typed = (bytes: number[]): void => this.#worker.post({ kind: "serial", text: String.fromCharCode(...bytes) });
		this.serial = this.#serial = new SerialPort(typed, report, () => {
			if (this.#worker.ended !== undefined) throw this.#worker.ended;
		});
		this.#network = new NetworkCard(
			(frame) => this.#worker.post({ kind: "frame", frame: frame.slice() }),
			() => this.#report?.macAddress ?? "",
			report,
		);
		this.network = this.#seenNetwork();
		if (network !== undefined) this.#network.connect(network);
		// Whether the guest is paused, or has its state, is the worker's to know: it keeps what comes too early. The card waits for
		// the guest's first run.
		this.#serial.ready();
		this.pages = new WorkerPages(this.#worker, pageCount);
		this.dirty = new WorkerDirtyLog(this.#worker, () => this.#report?.tracker ?? "scan");
		this.state = this.#makeState();
		this.driven = balloonIn(this.#worker);
		this.faulting = new InboxFaults(
			this.#worker,
			() => pageCount,
			() => clock.now(),
			{ pinned: () => pinnedPages(pageCount), inOrder: true },
		);
	}

	/**
	 * Builds a machine in a worker of its own and lets it boot; with `booted`, waits until it has.
	 *
	 * @throws {GuestError} `incompatible` for another version of v86, `state` when it does not start; {@link V86Error} `firmware`,
	 * `not-booted`; RangeError for a size
	 */
	static async start(options: StartV86WorkerGuestOptions): Promise<V86WorkerGuest> {
		const guest = await V86WorkerGuest.build(hardwareOf(options), options, { firmware: options.firmware });
		await startOrDiscard(guest, {
			...{ serial: guest.#serial, crashed: guest.#crashed, clock: options.clock },
			options,
		});
		return guest;
	}

	/**
	 * A paused machine: without firmware a target for pages and state, its RAM all zero.
	 * @param made - `faulting`: it may have to run while pages are missing
	 */
	static async build(
		hardware: V86Hardware,
		options: V86WorkerGuestOptions,
		made: { readonly firmware?: V86Firmware; readonly faulting?: boolean; readonly signal?: AbortSignal } = {},
	): Promise<V86WorkerGuest> {
		const { v86, sliceMs, tracker } = options;
		const { firmware, faulting = false, signal } = made;
		checkVersion(v86);
		if (firmware !== undefined) checkFirmware(firmware, hardware.memoryByteLength);
		signal?.throwIfAborted();
		const Kind = hardware.balloon === true ? BallooningV86WorkerGuest : V86WorkerGuest;
		const guest = new Kind(options, hardware);
		const onAbort = (): void => guest.#end(new GuestError("gone", "the set-up was given up", signal?.reason));
		signal?.addEventListener("abort", onAbort, { once: true });
		try {
			await guest.#worker.start({
				...{ hardware, faulting, compiled: compiledModule(v86) },
				...(firmware === undefined ? {} : { firmware }),
				...(sliceMs === undefined ? {} : { sliceMs }),
				...(tracker === undefined ? {} : { tracker }),
			});
			if (faulting) guest.faulting.prepare();
			return guest;
		} catch (error) {
			guest.#end(error instanceof Error ? error : new GuestError("gone", `the start failed: ${String(error)}`, error));
			await guest.#worker.terminate();
			throw error;
		} finally {
			signal?.removeEventListener("abort", onAbort);
		}
	}

	/** Where the guest is in its run. @throws {GuestError} `crashed`, `gone` */
	progress(): Promise<V86Progress> {
		return this.#worker.run("progress", {});
	}

	/**
	 * Reads RAM as it is: physical addresses. Pages that are missing are waited for.
	 * @throws RangeError beyond it; {@link GuestError} `crashed`, `gone`
	 */
	async readMemory(address: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		return (await this.#worker.run("read", { address, byteLength })).bytes;
	}

	/** Writes RAM, as a device would. @throws RangeError beyond it; {@link GuestError} `not-running`, `crashed`, `gone` */
	async writeMemory(address: number, bytes: Uint8Array): Promise<void> {
		await this.#worker.run("write", { address, bytes: bytes.slice() });
	}

	/**
	 * Lets a paused guest make so many steps and stay paused: see V86Guest.
	 * @throws {GuestError} `not-paused`, `crashed`, `gone`
	 */
	async advance(steps: number): Promise<void> {
		this.#network.open = true;
		await this.#worker.run("advance", { steps });
		this.#serial.resumed(); // it has read what was typed
	}

	pause(options: PauseOptions): Promise<void> {
		if (this.#pausing !== undefined) return this.#pausing;
		if (this.#worker.ended !== undefined) return Promise.reject(this.#worker.ended);
		if (this.#status === "paused") return Promise.resolve();
		this.#pausing = this.#pause(options).finally(() => {
			this.#pausing = undefined;
		});
		return this.#pausing;
	}

	async #pause(options: PauseOptions): Promise<void> {
		options.signal?.throwIfAborted();
		this.#status = "pausing";
		try {
			const reached = this.#worker.run("pause", {});
			const waitedMs = await reachPause(reached, this.#clock, options, "the guest's step did not end");
			this.#status = "paused";
			this.#pauseWaitMs = Math.max(this.#pauseWaitMs, waitedMs);
		} catch (error) {
			// A pause that is reached late is undone: the worker sees both messages in this order.
			if (this.#worker.ended === undefined) {
				this.#worker.run("resume", {}).catch(() => undefined); // whoever calls next sees it
				this.#status = "running";
			}
			throw error;
		}
	}

	async resume(): Promise<void> {
		if (this.#worker.ended !== undefined) throw this.#worker.ended;
		if (this.#status === "running") return;
		await this.#worker.run("resume", {});
		this.#serial.resumed();
		this.#status = "running";
		this.#network.open = true;
	}

	async discard(): Promise<void> {
		if (this.#status === "gone") return;
		this.#end(new GuestError("gone", "the guest has been discarded"));
		await this.#worker.terminate();
	}

	takeInterruptions(): Interruptions {
		const taken = { slicesMs: this.#slicesMs, pauseWaitMs: this.#pauseWaitMs };
		this.#slicesMs = [];
		this.#pauseWaitMs = 0;
		return taken;
	}

	#makeState(): GuestState {
		return {
			layout: () => {
				if (this.#report?.layout === undefined) throw new GuestError("gone", "the guest was never built");
				return this.#report.layout;
			},
			capture: async () => {
				if (this.#status === "paused") this.#serial.captured();
				return (await this.#worker.run("capture", {})).bytes;
			},
			restore: async (bytes) => void (await this.#worker.run("restore", { bytes: bytes.slice() })),
			resource: () => Promise.resolve(undefined),
		};
	}

	#seenNetwork(): V86NetworkCard {
		const card = this.#network;
		const inWorker = (): number => this.#report?.badFrames ?? 0;
		return {
			get macAddress() {
				return card.macAddress;
			},
			get badFrames() {
				return card.badFrames + inWorker();
			},
			listen: (listener) => card.listen(listener),
			deliver: (frame) => card.deliver(frame),
			connect: (port) => card.connect(port),
		};
	}

	#note(report: GuestReport): void {
		this.#report = report;
		for (const sliceMs of report.slicesMs) if (this.#slicesMs.length < MAX_SLICES) this.#slicesMs.push(sliceMs);
	}

	#crash(cause: unknown): void {
		if (this.#status === "gone") return;
		const reason = cause instanceof Error ? cause.message : String(cause ?? "it ended by itself");
		const failed = (): GuestError => new GuestError("crashed", `the guest's worker failed: ${reason}`, cause);
		const error = cause instanceof GuestError ? cause : failed();
		this.#end(error);
		this.#onCrash(error);
		// It may have failed without ending: what cannot be talked to must not run on.
		void this.#worker.terminate();
	}

	#end(error: Error): void {
		this.#status = "gone";
		this.#network.close();
		this.#worker.end(error);
		this.faulting.fail(error);
	}
}

/** A v86 guest in a worker whose machine has a balloon. */
export class BallooningV86WorkerGuest extends V86WorkerGuest implements BallooningGuest {
	/** See docs/v86.md. Its guest's system must have booted: {@link GuestError} `no-driver` until then. */
	readonly balloon: GuestBalloon = this.driven;
}

/** The balloon is where the machine is: see balloon.ts. */
function balloonIn(worker: WorkerClient): GuestBalloon {
	const move = async (pages: number, direction: "inflate" | "deflate"): Promise<Uint32Array> =>
		(await worker.run("balloon-move", { pages, direction })).moved;
	return {
		report: () => worker.run("balloon-report", {}),
		inflate: (pages) => move(pages, "inflate"),
		deflate: (pages) => move(pages, "deflate"),
		out: async () => (await worker.run("balloon-out", {})).bits,
	};
}

/** Slices kept between two {@link V86WorkerGuest.takeInterruptions}: two minutes of live work without a pause. */
const MAX_SLICES = 65_536;
