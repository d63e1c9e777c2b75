/**
 * A synthetic guest's part in its host's CPU: its workload, what reads and writes its pages for moves and checkpoints, and
 * its balloon each are a consumer of their own. Without one (the default) nothing in the lab takes CPU time but the guest,
 * and that has all it wants.
 */
import type { CpuConsumer, SimulatedCpu } from "./simulated-cpu.ts";
import type { Scheduled } from "./virtual-clock.ts";

/** CPU time of what is done to pages, in ms of one core per page; 0 where left out. */
export interface PageCosts {
	/** Reading a page for a move or a checkpoint: copy, hash, compression. */
	readonly encodeMsPerPage?: number;
	/** Looking for dirty pages: for each page that is looked at, dirty or not. */
	readonly scanMsPerPage?: number;
	/** Hashing a page for a digest or a comparison. */
	readonly hashMsPerPage?: number;
	/** Checking and writing a page that has come. */
	readonly applyMsPerPage?: number;
	/** Taking a page into the balloon or out of it. */
	readonly balloonMsPerPage?: number;
}

/** What a guest's host gives it. */
export interface GuestCpuOptions {
	readonly cpu: SimulatedCpu;
	/** Of the guest's workload; 1 by default, as the two below. */
	readonly guestWeight?: number;
	/** Of what moves and checkpoints it. */
	readonly movingWeight?: number;
	readonly balloonWeight?: number;
	readonly costs?: PageCosts;
}

/** See the head of this file. */
export class GuestCpu {
	readonly #cpu: SimulatedCpu;
	readonly #costs: PageCosts;
	readonly #guest: CpuConsumer;
	readonly #moving: CpuConsumer;
	readonly #ballooning: CpuConsumer;
	#cores = 0;
	#takenMs = 0;

	constructor(options: GuestCpuOptions) {
		const { cpu, guestWeight = 1, movingWeight = 1, balloonWeight = 1, costs = {} } = options;
		this.#cpu = cpu;
		this.#costs = costs;
		this.#guest = cpu.consumer("guest", { weight: guestWeight, threads: Number.POSITIVE_INFINITY });
		this.#moving = cpu.consumer("moving", { weight: movingWeight });
		this.#ballooning = cpu.consumer("ballooning", { weight: balloonWeight });
	}

	/**
	 * The workload wants so many cores from now on: a share 0 … 1 of what it keeps busy at full speed. What it had before is
	 * to be taken first.
	 */
	want(cores: number, share: number): void {
		this.#cpu.setLoad(this.#guest, cores * share);
		this.#cores = cores;
		this.#takenMs = this.#cpu.usedMs(this.#guest);
	}

	/** @returns for how many ms the workload could run at full speed with what it has had since it was asked last. */
	take(): number {
		const usedMs = this.#cpu.usedMs(this.#guest);
		const cpuMs = this.#cores === 0 ? 0 : (usedMs - this.#takenMs) / this.#cores;
		this.#takenMs = usedMs;
		return cpuMs;
	}

	/** One of the workload's processes computes, on one core. */
	compute(cpuMs: number, action: () => void): Scheduled {
		return this.#cpu.start(this.#guest, cpuMs, action);
	}

	/** Does something to so many pages: resolves when there was CPU time for it. One after another, as they were asked for. */
	spend(cost: keyof PageCosts, pages: number): Promise<void> {
		const cpuMs = (this.#costs[cost] ?? 0) * pages;
		return this.#cpu.run(cost === "balloonMsPerPage" ? this.#ballooning : this.#moving, cpuMs);
	}
}
