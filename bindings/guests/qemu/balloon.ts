// The balloon of a QEMU machine (virtio): its size is set and read over QMP, what is free comes from the driver inside.
//
//   inflate / deflate ── balloon {value} ──▶ driver ── pages given up are punched out of the RAM file, and read as zeros
//
// QEMU says how large the balloon is, not which pages are in it. So as many zero pages of the RAM file stand for it: for a
// technique they are as good, because it is told of pages that are zero, and a write to any of them is a change. Those that
// were named before are named again as long as they are zero.
import type { BalloonReport, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import { GuestError, PAGE_BYTES, type PageBits } from "../../ports/guest.ts";
import { bitsByteLength, countBits, listPages } from "../page-bits.ts";
import { member, numberMember } from "./json.ts";

/** What the balloon is asked through. */
export interface BalloonHost {
	readonly pageCount: number;
	readonly clock: Clock;
	execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
	/** See {@link QemuRam.zeros}. */
	zeros(): Promise<PageBits>;
	isRunning(): boolean;
}

const DEVICE = "/machine/peripheral/balloon";
/** How often the driver reports what is free, in s: DSB asks every 5. */
const STATISTICS_S = 1;
/** Between two looks at a balloon that moves, in ms; it moves by some 100 MB a second. */
const LOOK_MS = 20;
/** So many looks that bring it no nearer to what was asked: the machine has no more to give. */
const PATIENCE_LOOKS = 15;

/** See the head of this file. */
export class QemuBalloon implements GuestBalloon {
	readonly #host: BalloonHost;
	#out: Uint8Array<ArrayBuffer>;
	/** As of the last call: what is missing of it at the next, the machine has taken back. */
	#size = 0;
	#hasStatistics = false;

	constructor(host: BalloonHost) {
		this.#host = host;
		this.#out = new Uint8Array(bitsByteLength(host.pageCount));
	}

	async report(): Promise<BalloonReport> {
		if (!this.#hasStatistics) {
			const order = { path: DEVICE, property: "guest-stats-polling-interval", value: STATISTICS_S };
			await this.#host.execute("qom-set", order);
			this.#hasStatistics = true;
		}
		const statistics = await this.#host.execute("qom-get", { path: DEVICE, property: "guest-stats" });
		// All ones until the driver has reported: more than any machine has.
		const free = numberMember(member(statistics, "stats"), "stat-free-memory") ?? 0;
		const freePages = Math.floor(free / PAGE_BYTES);
		const size = await this.#sizePages();
		const pressurePages = Math.max(0, this.#size - size);
		this.#size = size;
		return { freePages: freePages <= this.#host.pageCount ? freePages : 0, pressurePages };
	}

	inflate(pages: number): Promise<Uint32Array> {
		return this.#move(Math.max(0, pages));
	}

	deflate(pages: number): Promise<Uint32Array> {
		return this.#move(-Math.max(0, pages));
	}

	async out(): Promise<PageBits> {
		const size = await this.#sizePages();
		// Nothing to look for: a scan of all pages would be for nothing.
		if (size === 0) this.#out.fill(0);
		else this.#name(size, await this.#host.zeros());
		return this.#out.slice();
	}

	/** @returns pages that went out, or came back */
	async #move(pages: number): Promise<Uint32Array> {
		if (!this.#host.isRunning()) throw new GuestError("not-running", "the balloon of a paused machine does not move");
		const before = await this.out();
		const from = await this.#sizePages();
		const wanted = Math.min(this.#host.pageCount - 1, Math.max(0, from + pages));
		await this.#wish(wanted);
		let size = from;
		let nearest = Math.abs(wanted - from);
		for (let looks = 0; size !== wanted && looks < PATIENCE_LOOKS && this.#host.isRunning(); looks++) {
			await this.#host.clock.sleep(LOOK_MS);
			size = await this.#sizePages();
			const distance = Math.abs(wanted - size);
			if (distance < nearest) looks = 0;
			nearest = Math.min(nearest, distance);
		}
		// A driver that has to take back what it gives does so for as long as the wish stands: it ends here.
		if (size !== wanted) await this.#wish(size);
		this.#size = size;
		const after = await this.out();
		const moved = before.map((byte, at) => (pages > 0 ? after[at]! & ~byte : byte & ~after[at]!));
		return listPages(moved, this.#host.pageCount);
	}

	/** Asks for a balloon of so many pages. */
	async #wish(pages: number): Promise<void> {
		await this.#host.execute("balloon", { value: (this.#host.pageCount - pages) * PAGE_BYTES });
	}

	/** QEMU says what the machine has left. */
	async #sizePages(): Promise<number> {
		const actual = numberMember(await this.#host.execute("query-balloon"), "actual") ?? 0;
		return Math.max(0, this.#host.pageCount - Math.ceil(actual / PAGE_BYTES));
	}

	/** Names up to so many zero pages: those of before that still are, then others. */
	#name(size: number, zeros: PageBits): void {
		const named = this.#out;
		for (let at = 0; at < named.length; at++) named[at]! &= zeros[at]!;
		let count = countBits(named);
		for (let page = 0; page < this.#host.pageCount && count !== size; page++) {
			const [at, bit] = [page >>> 3, 1 << (page & 7)];
			const isNamed = (named[at]! & bit) !== 0;
			if (count > size ? !isNamed : isNamed || (zeros[at]! & bit) === 0) continue;
			named[at]! ^= bit;
			count += isNamed ? -1 : 1;
		}
	}
}
