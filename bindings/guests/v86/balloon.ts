// The balloon of a v86 guest: asks the driver inside, and waits for what it does.
//
//   inflate / deflate ── want ──▶ driver ──▶ pages go or come ──▶ as many as wanted, or it has no more: it answers, and nothing
//                                                                 moves, or takes pages back
//   report ── ask ──▶ driver ──▶ free memory
//
// A driver that is waited for has so much of the guest's own time: a pause, and a wait for missing pages that is an outage, do not
// count. A pause ends an inflation under way: what is out by then is out.
import type { BalloonReport, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import { GuestError, PAGE_BYTES, type PageBits } from "../../ports/guest.ts";
import { listPages } from "../page-bits.ts";
import type { BalloonDevice } from "./balloon-device.ts";

/** What the balloon is asked through. */
export interface BalloonHost {
	readonly device: Omit<BalloonDevice, "state" | "restore">;
	readonly pageCount: number;
	readonly clock: Clock;
	/** What the guest's clock shows, in ms. */
	guestNow(): number;
	/** Does something with the device in the guest's own time, and wakes the guest. */
	within(work: () => void): void;
	/** @throws {GuestError} `crashed`, `gone` */
	isRunning(): boolean;
}

/** Between two looks at a driver that works, in ms. */
const LOOK_MS = 10;
/** Without a change for so many looks the driver is asked whether it is still there; 0.2 s is what it rests when memory is short. */
const PATIENCE_LOOKS = 30;
/** So long a driver may take to answer, in ms of the guest's time: it takes a few on a quiet host. */
const ANSWER_MS = 10_000;

/** See the head of this file. */
export class V86Balloon implements GuestBalloon {
	readonly #host: BalloonHost;
	/** One change after another. */
	#turn: Promise<unknown> = Promise.resolve();

	constructor(host: BalloonHost) {
		this.#host = host;
	}

	/** @throws {GuestError} `no-driver`, `no-answer` */
	async report(): Promise<BalloonReport> {
		const { device, pageCount } = this.#host;
		const isRunning = this.#host.isRunning();
		this.#requireDriver();
		if (isRunning) await this.#ask();
		const freePages = Math.min(pageCount, Math.floor(device.freeBytes / PAGE_BYTES));
		return { freePages, pressurePages: device.takePressure() };
	}

	/** @throws {GuestError} `no-driver`, `no-answer`, `not-running`; RangeError for what is no number of pages */
	inflate(pages: number): Promise<Uint32Array> {
		return this.#inTurn(pages, 1);
	}

	/** @throws {GuestError} `no-driver`, `no-answer`, `not-running`; RangeError for what is no number of pages */
	deflate(pages: number): Promise<Uint32Array> {
		return this.#inTurn(pages, -1);
	}

	async out(): Promise<PageBits> {
		this.#host.isRunning();
		return this.#host.device.out();
	}

	/** The guest is being paused: nothing more is asked of the driver. */
	stop(): void {
		this.#host.device.settle();
	}

	async #inTurn(pages: number, direction: 1 | -1): Promise<Uint32Array> {
		if (!Number.isSafeInteger(pages) || pages < 0)
			throw new RangeError(`pages: must be a whole number from 0 on, got ${pages}`);
		const before = this.#turn;
		const work = before.then(() => this.#move(pages * direction));
		this.#turn = work.catch(() => undefined); // the caller learns of it
		return work;
	}

	/** @returns pages that went out, or came back */
	async #move(pages: number): Promise<Uint32Array> {
		const { device, pageCount } = this.#host;
		if (!this.#host.isRunning()) throw new GuestError("not-running", "the balloon of a paused machine does not move");
		this.#requireDriver();
		const wanted = Math.min(pageCount - 1, Math.max(0, device.size + pages));
		const before = device.out();
		try {
			if (wanted !== device.size) {
				this.#host.within(() => device.want(wanted));
				await this.#until(wanted);
			}
		} finally {
			device.settle();
		}
		const after = device.out();
		const moved = before.map((byte, at) => (pages > 0 ? after[at]! & ~byte : byte & ~after[at]!));
		return listPages(moved, pageCount);
	}

	/** Resolves when the balloon has this size, will not come further, the guest needs its memory, or is paused. */
	async #until(wanted: number): Promise<void> {
		const { device, clock } = this.#host;
		let size = device.size;
		for (let looks = 0; device.size !== wanted && device.isMoving && this.#host.isRunning(); looks++) {
			// Who answers has seen what was wanted before.
			if (looks === PATIENCE_LOOKS && (await this.#ask()) && device.size === size) return;
			await clock.sleep(LOOK_MS);
			if (device.size === size && looks < PATIENCE_LOOKS) continue;
			size = device.size;
			looks = 0;
		}
	}

	/** Asks the driver. @returns whether it has answered; a guest that is paused does not */
	async #ask(): Promise<boolean> {
		const { device, clock } = this.#host;
		const [answers, startedMs] = [device.answers, this.#host.guestNow()];
		this.#host.within(() => device.ask());
		while (device.answers === answers) {
			if (!this.#host.isRunning()) return false;
			if (this.#host.guestNow() - startedMs > ANSWER_MS)
				throw new GuestError(
					"no-answer",
					`the driver of the balloon has not answered within ${ANSWER_MS} ms of the guest's time; the guest runs on, and nothing more is asked of it: look at the guest's own log`,
				);
			await clock.sleep(LOOK_MS);
		}
		return true;
	}

	#requireDriver(): void {
		if (this.#host.device.hasDriver) return;
		throw new GuestError(
			"no-driver",
			"nothing in the guest drives its balloon (virtio, 1af4:1045): wait until it has booted, and let its system load virtio_pci and virtio_balloon",
		);
	}
}
