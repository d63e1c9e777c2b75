/**
 * Programs as a guest's workload: lazily at their writes while every page is there, event by event while pages are missing.
 *
 * While pages are missing each process runs ahead to its next missing page and asks for it when its time has come; virtual
 * CPUs are shared first come first served. Useful work is counted, waits are not.
 */
import type { Program, Touch } from "../program.ts";
import type { Scheduled } from "../virtual-clock.ts";
import type { PagedRun, Workload, WorkloadGuest } from "../workload.ts";

/** How programs run. */
export interface ProgramWorkloadOptions {
	readonly programs: readonly Program[];
	/** Virtual CPUs; 2 by default, as in the paper. */
	readonly cores?: number;
	/** CPU time of a fault, in ms. */
	readonly faultCpuMs?: number;
	/** Longest turn of a process, in ms. */
	readonly sliceMs?: number;
}

interface Process {
	readonly program: Program;
	readonly touch: Touch;
	pending: boolean;
	/** CPU time that its last touch still needs. */
	owedMs: number;
}

/** See the head of this file. */
export class ProgramWorkload implements Workload {
	readonly #processes: readonly Process[];
	readonly #options: Required<Omit<ProgramWorkloadOptions, "programs">>;

	constructor(options: ProgramWorkloadOptions) {
		const { programs, cores = 2, faultCpuMs = 0.008, sliceMs = 10 } = options;
		this.#options = { cores, faultCpuMs, sliceMs };
		this.#processes = programs.map((program) => ({
			...{ program, pending: false, owedMs: 0 },
			touch: { page: 0, write: false, workMs: 0 },
		}));
	}

	/** A process runs on one core at a time. */
	get cores(): number {
		return Math.min(this.#options.cores, this.#processes.length);
	}

	advance(guest: WorkloadGuest, cpuMs: number): void {
		const share = Math.min(1, this.#options.cores / this.#processes.length);
		for (const process of this.#processes) {
			process.owedMs -= cpuMs * share;
			while (process.owedMs <= 0) {
				if (!process.pending && !process.program.next(process.touch)) break;
				process.pending = false;
				if (process.touch.write) guest.touchWrite(process.touch.page);
				process.owedMs += process.touch.workMs;
			}
		}
	}

	startPaged(guest: WorkloadGuest): PagedRun {
		return new PagedPrograms(guest, this.#processes, this.#options);
	}
}

class PagedPrograms implements PagedRun {
	workMs = 0;
	readonly #guest: WorkloadGuest;
	readonly #options: Required<Omit<ProgramWorkloadOptions, "programs">>;
	readonly #ready: Process[];
	readonly #scheduled = new Set<Scheduled>();
	#idleCores: number;
	#stopped = false;

	constructor(
		guest: WorkloadGuest,
		processes: readonly Process[],
		options: Required<Omit<ProgramWorkloadOptions, "programs">>,
	) {
		this.#guest = guest;
		this.#options = options;
		this.#ready = [...processes];
		this.#idleCores = options.cores;
		this.#dispatch();
	}

	stop(): void {
		this.#stopped = true;
		for (const event of this.#scheduled) event.cancel();
	}

	#dispatch(): void {
		while (!this.#stopped && this.#idleCores > 0) {
			const process = this.#ready.shift();
			if (process === undefined) return;
			this.#idleCores--;
			this.#slice(process, this.#options.sliceMs);
		}
	}

	#slice(process: Process, leftMs: number): void {
		const { missing } = this.#guest;
		const { touch, program } = process;
		let usedMs = Math.max(0, process.owedMs);
		process.owedMs = 0;
		for (;;) {
			if (!process.pending && !program.next(touch)) break;
			process.pending = true;
			if (missing.has(touch.page) || usedMs >= leftMs) break;
			missing.touched(touch.page);
			if (touch.write) this.#guest.touchWrite(touch.page);
			usedMs += touch.workMs;
			process.pending = false;
		}
		this.workMs += usedMs;
		this.#in(usedMs, () => this.#sliceEnd(process, leftMs - usedMs));
	}

	#sliceEnd(process: Process, leftMs: number): void {
		const { page } = process.touch;
		const { missing } = this.#guest;
		if (process.pending && missing.has(page)) {
			this.#in(this.#options.faultCpuMs, () => {
				this.#idleCores++;
				if (missing.has(page)) missing.wait(page, () => this.#wake(process));
				else this.#ready.push(process);
				this.#dispatch();
			});
			return;
		}
		if (process.pending && leftMs > 0) {
			this.#slice(process, leftMs);
			return;
		}
		this.#idleCores++;
		if (process.pending) this.#ready.push(process);
		this.#dispatch();
	}

	#wake(process: Process): void {
		this.#ready.push(process);
		this.#dispatch();
	}

	#in(durationMs: number, action: () => void): void {
		const event = this.#guest.compute(durationMs, () => {
			this.#scheduled.delete(event);
			if (!this.#stopped) action();
		});
		this.#scheduled.add(event);
	}
}
