// The balloon of a v86 machine (virtio), seen from its device: which pages are out, how many should be, and what the driver inside
// says of its memory.
//
//   want ─▶ num_pages, interrupt ─▶ driver ─▶ inflate queue: page numbers ─▶ made zero, out
//                                         └─▶ deflate queue: page numbers ─▶ no longer out
//   ask ──▶ the buffer of the statistics goes back ─▶ driver fills it ─▶ free memory
//
// v86 (0.5.462) counts pages and forgets which they are, so they are read where its queues are served; and it leaves them as they
// were, so they are made zero there, as a device writes: through `write_blob`, where the dirty log and missing pages look.
//
// v86 does not offer that the driver takes pages back before the guest runs out of memory (VIRTIO_BALLOON_F_DEFLATE_ON_OOM). That
// is work of the driver alone, so it is offered here; v86 saves and restores the offer with its own features.
//
// Invariants: a page that is out was made zero after the driver gave it up. Nothing is wanted but what is out, except while the
// host waits for a change: what the driver takes back, or a pause cuts short, is not asked for again.
// Source: Virtual I/O Device (VIRTIO) 1.2, section 5.5 (Traditional Memory Balloon Device).
import { GuestError, PAGE_BYTES, type PageBits } from "../../ports/guest.ts";
import { bitsByteLength, countBits } from "../page-bits.ts";
import type { V86BalloonDevice, V86Cpu, V86Queue } from "./emulator.ts";

const DRIVER_OK = 4;
const DEFLATE_ON_OOM = 1 << 2;
const [INFLATE, DEFLATE, STATISTICS] = [0, 1, 2];
const PAGE_NUMBER_BYTES = 4;
const ZEROS = new Uint8Array(PAGE_BYTES);

/** See the head of this file. One per machine with a balloon. */
export class BalloonDevice {
	readonly #device: V86BalloonDevice;
	readonly #cpu: V86Cpu;
	readonly #pageCount: number;
	readonly #out: Uint8Array<ArrayBuffer>;
	#size = 0;
	#answers = 0;
	#freeBytes = 0;
	#isMoving = false;
	#pressure = 0;

	/** Of a machine that has not run. */
	constructor(cpu: V86Cpu, device: V86BalloonDevice, pageCount: number) {
		this.#cpu = cpu;
		this.#device = device;
		this.#pageCount = pageCount;
		this.#out = new Uint8Array(bitsByteLength(pageCount));
		const { virtio } = device;
		virtio.device_feature[0]! |= DEFLATE_ON_OOM;
		this.#hear(virtio.queues[INFLATE]!, (pages) => this.#putOut(pages));
		this.#hear(virtio.queues[DEFLATE]!, (pages) => this.#takeBack(pages));
		device.stats_cb = ({ MEMFREE: freeBytes }) => {
			this.#freeBytes = freeBytes ?? 0;
			this.#answers++;
		};
		const { reset } = virtio;
		virtio.reset = () => {
			// A driver that begins anew has given nothing up.
			this.#out.fill(0);
			this.#size = this.#device.num_pages = 0;
			reset.call(virtio);
		};
	}

	/** Whether the guest has a driver that has begun. */
	get hasDriver(): boolean {
		return (this.#device.virtio.device_status & DRIVER_OK) !== 0;
	}

	/** Whether a change that was wanted may still come: not after {@link settle}, or once the guest is short of memory. */
	get isMoving(): boolean {
		return this.#isMoving;
	}

	/** Pages that were taken back unasked since the last call. */
	takePressure(): number {
		const pages = this.#pressure;
		this.#pressure = 0;
		return pages;
	}

	/** Pages that are out. */
	get size(): number {
		return this.#size;
	}

	/** Answers to {@link ask} so far, wherever they were asked for. */
	get answers(): number {
		return this.#answers;
	}

	/** Free memory in bytes, as of the last answer; 0 before the first. */
	get freeBytes(): number {
		return this.#freeBytes;
	}

	/** Which pages are out: a copy. */
	out(): PageBits {
		return this.#out.slice();
	}

	/** Asks for a balloon of so many pages, until {@link settle}. */
	want(pages: number): void {
		this.#isMoving = true;
		this.#device.num_pages = pages;
		this.#device.virtio.notify_config_changes();
	}

	/** What is out is what is wanted: a driver that is still at it stops. */
	settle(): void {
		this.#isMoving = false;
		this.#device.num_pages = this.#size;
	}

	/** Asks what is free. While an answer is under way this adds none. */
	ask(): void {
		this.#device.virtio.queues[STATISTICS]!.flush_replies();
	}

	/** What goes with the device's own state: a bit for each page that is out. */
	get state(): Uint8Array<ArrayBuffer> {
		return this.#out;
	}

	/** Beside the device's own state. @throws {GuestError} `state` for what is none */
	restore(state: unknown): void {
		if (!(state instanceof Uint8Array) || state.byteLength !== this.#out.byteLength)
			throw new GuestError("state", "device state: it does not say which pages are in the balloon");
		this.#out.set(state);
		this.#size = countBits(this.#out);
		this.settle();
	}

	/** Tells the page numbers that the driver puts into a queue at once. */
	#hear(queue: V86Queue, tell: (pages: readonly number[]) => void): void {
		const { pop_request: pop } = queue;
		queue.pop_request = () => {
			const chain = pop.call(queue);
			const { get_next_blob: read } = chain;
			chain.get_next_blob = (into) => {
				const byteLength = read.call(chain, into);
				const view = new DataView(into.buffer, into.byteOffset, byteLength);
				const pages: number[] = [];
				for (let at = 0; at + PAGE_NUMBER_BYTES <= byteLength; at += PAGE_NUMBER_BYTES)
					pages.push(view.getUint32(at, true));
				// What is no page of the machine is the driver's mistake: it harms nobody.
				tell(pages.filter((page) => page < this.#pageCount));
				if (!this.#isMoving) this.settle();
				return byteLength;
			};
			return chain;
		};
	}

	#putOut(pages: readonly number[]): void {
		for (const page of pages) {
			this.#cpu.write_blob(ZEROS, page * PAGE_BYTES);
			const bit = 1 << (page & 7);
			if ((this.#out[page >>> 3]! & bit) === 0) this.#size++;
			this.#out[page >>> 3]! |= bit;
		}
	}

	#takeBack(pages: readonly number[]): void {
		const isAsked = this.#isMoving && this.#device.num_pages < this.#size;
		for (const page of pages) {
			const bit = 1 << (page & 7);
			if ((this.#out[page >>> 3]! & bit) !== 0) this.#size--;
			this.#out[page >>> 3]! &= ~bit;
		}
		// One page is the system's compaction, which has put another out for it.
		if (isAsked || pages.length <= 1) return;
		this.#pressure += pages.length;
		// Asked on, the driver would give these pages up again, and so on for ever.
		this.settle();
	}
}
