/**
 * A host's CPU in virtual time, shared by all who want it at the same moment: processor sharing with weights.
 *
 *   wanted by a consumer = its load + its jobs under way (a job runs on one core at a time)
 *   gets                 = min(wanted, fair share by weight); what one does not want goes to the others
 *
 * Nothing is left idle while somebody wants it, and at every moment what all consumers have used and what was idle add up
 * to the cores' time. Rates change only when something begins or ends: between two such moments no event happens, so a
 * guest that computes for an hour costs nothing. The same calls at the same times give the same ends.
 */
import type { EventClock, Scheduled } from "./virtual-clock.ts";

/** How a consumer takes part. */
export interface CpuConsumerOptions {
	/** Its part of the CPU, relative to the others', while it is short; 1 by default. */
	readonly weight?: number;
	/** How many of its jobs are under way at once, the others wait in line; 1 by default: they end in their order. */
	readonly threads?: number;
}

/** One who takes part: a guest, what moves it, its ballooning. */
export interface CpuConsumer {
	readonly name: string;
	readonly weight: number;
	readonly threads: number;
}

/** What a consumer has had so far, in ms of one core. */
export interface CpuConsumerReport {
	readonly name: string;
	readonly usedMs: number;
	/** What it wanted and did not get: 0 on a CPU that it has for itself. A job that waits in line is not counted. */
	readonly waitedMs: number;
}

/** Where a CPU's time has gone: `usedMs` of all consumers and `idleMs` are the cores times `elapsedMs`. */
export interface CpuReport {
	readonly cores: number;
	readonly elapsedMs: number;
	readonly idleMs: number;
	readonly consumers: readonly CpuConsumerReport[];
}

/** A job with less left has ended: a millionth of a ns, above what rounding leaves over. */
const ROUNDING_MS = 1e-9;

interface Job {
	leftMs: number;
	readonly done: () => void;
}

class Consumer implements CpuConsumer {
	readonly name: string;
	readonly weight: number;
	readonly threads: number;
	readonly jobs: Job[] = [];
	/** Cores that it keeps busy beside its jobs. */
	load = 0;
	/** Cores that it has. */
	rate = 0;
	usedMs = 0;
	waitedMs = 0;

	constructor(name: string, { weight = 1, threads = 1 }: CpuConsumerOptions) {
		if (!(weight > 0 && Number.isFinite(weight))) throw new RangeError(`weight: must be above 0, got ${weight}`);
		if (!(threads >= 1)) throw new RangeError(`threads: must be 1 or more, got ${threads}`);
		this.name = name;
		this.weight = weight;
		this.threads = threads;
	}

	get underWay(): number {
		return Math.min(this.jobs.length, this.threads);
	}

	get wanted(): number {
		return this.load + this.underWay;
	}

	/** Cores that each job under way has. */
	get jobRate(): number {
		return this.wanted === 0 ? 0 : this.rate / this.wanted;
	}
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts
 * import { systemClock } from "../platform/system-clock.ts";
 * import { SimulatedCpu } from "./simulated-cpu.ts";
 * import { VirtualClock } from "./virtual-clock.ts";
 * const clock = new VirtualClock(systemClock);
 * const cpu = new SimulatedCpu(clock, 1);
 * const [guest, move] = [cpu.consumer("guest"), cpu.consumer("move", { weight: 3 })];
 * cpu.setLoad(guest, 1);
 * const elapsedMs = await clock.run(async () => {
 * 	await cpu.run(move, 30);
 * 	return clock.now();
 * }); // 40: three quarters of the core
 * ```
 */
export class SimulatedCpu {
	readonly cores: number;
	readonly #clock: EventClock;
	readonly #startedMs: number;
	readonly #consumers: Consumer[] = [];
	/** Until when everybody's account is settled. */
	#settledMs: number;
	#nextEnd: Scheduled | undefined;

	/** @throws RangeError unless there is a part of a core. */
	constructor(clock: EventClock, cores: number) {
		if (!(cores > 0 && Number.isFinite(cores))) throw new RangeError(`cores: must be above 0, got ${cores}`);
		this.cores = cores;
		this.#clock = clock;
		this.#startedMs = clock.now();
		this.#settledMs = this.#startedMs;
	}

	/** Adds one who takes part. Names are for the report. */
	consumer(name: string, options: CpuConsumerOptions = {}): CpuConsumer {
		const consumer = new Consumer(name, options);
		this.#consumers.push(consumer);
		return consumer;
	}

	/** So many cores it keeps busy from now on, without an end; 0 ends it. */
	setLoad(consumer: CpuConsumer, cores: number): void {
		if (!(cores >= 0 && Number.isFinite(cores))) throw new RangeError(`cores: must be 0 or more, got ${cores}`);
		const known = this.#known(consumer);
		if (known.load === cores) return;
		this.#settle();
		known.load = cores;
		this.#divide();
	}

	/** Computes for so many ms of one core; resolves when it has had them. @throws the signal's reason */
	run(consumer: CpuConsumer, cpuMs: number, signal?: AbortSignal): Promise<void> {
		if (signal?.aborted) return Promise.reject(signal.reason);
		return new Promise((resolve, reject) => {
			const job = this.start(consumer, cpuMs, () => {
				signal?.removeEventListener("abort", onAbort);
				resolve();
			});
			const onAbort = () => {
				job.cancel();
				reject(signal?.reason);
			};
			signal?.addEventListener("abort", onAbort, { once: true });
		});
	}

	/** As {@link run}, for models without promises. What it has used before it is called off stays used. */
	start(consumer: CpuConsumer, cpuMs: number, done: () => void): Scheduled {
		if (!(cpuMs >= 0 && Number.isFinite(cpuMs))) throw new RangeError(`cpuMs: must be 0 or more, got ${cpuMs}`);
		const { jobs } = this.#known(consumer);
		const job: Job = { leftMs: cpuMs, done };
		this.#settle();
		jobs.push(job);
		this.#divide();
		return {
			cancel: () => {
				const place = jobs.indexOf(job);
				if (place < 0) return;
				this.#settle();
				jobs.splice(place, 1);
				this.#divide();
			},
		};
	}

	/** What a consumer has used so far, in ms of one core. */
	usedMs(consumer: CpuConsumer): number {
		this.#settle();
		return this.#known(consumer).usedMs;
	}

	/** Where the time has gone since the CPU was made. */
	report(): CpuReport {
		this.#settle();
		const elapsedMs = this.#settledMs - this.#startedMs;
		const usedMs = this.#consumers.reduce((sum, consumer) => sum + consumer.usedMs, 0);
		return {
			...{ cores: this.cores, elapsedMs, idleMs: this.cores * elapsedMs - usedMs },
			consumers: this.#consumers.map(({ name, usedMs, waitedMs }) => ({ name, usedMs, waitedMs })),
		};
	}

	#known(consumer: CpuConsumer): Consumer {
		if (consumer instanceof Consumer && this.#consumers.includes(consumer)) return consumer;
		throw new TypeError(`consumer: ${consumer.name} is none of this CPU`);
	}

	/** Charges everybody for the time since the last change. */
	#settle(): void {
		const nowMs = this.#clock.now();
		const elapsedMs = nowMs - this.#settledMs;
		this.#settledMs = nowMs;
		if (elapsedMs <= 0) return;
		for (const consumer of this.#consumers) {
			consumer.usedMs += consumer.rate * elapsedMs;
			consumer.waitedMs += (consumer.wanted - consumer.rate) * elapsedMs;
			const jobMs = consumer.jobRate * elapsedMs;
			for (let i = 0; i < consumer.underWay; i++) consumer.jobs[i]!.leftMs -= jobMs;
		}
	}

	/** Divides the cores anew, and waits for the job that then ends first. */
	#divide(): void {
		this.#share();
		let first: Job | undefined;
		let firstMs = Number.POSITIVE_INFINITY;
		for (const { jobs, jobRate, underWay } of this.#consumers)
			for (const job of jobs.slice(0, underWay)) {
				const endsInMs = Math.max(0, job.leftMs) / jobRate;
				if (endsInMs < firstMs) [first, firstMs] = [job, endsInMs];
			}
		this.#nextEnd?.cancel();
		this.#nextEnd = first === undefined ? undefined : this.#clock.schedule(firstMs, () => this.#end(first));
	}

	/** Those who want least for their weight first: what they leave goes to the others. */
	#share(): void {
		const wanting = this.#consumers.filter(({ wanted }) => wanted > 0);
		for (const consumer of this.#consumers) consumer.rate = consumer.wanted;
		if (wanting.reduce((sum, { wanted }) => sum + wanted, 0) <= this.cores) return;
		wanting.sort((a, b) => a.wanted / a.weight - b.wanted / b.weight);
		let left = this.cores;
		let weights = wanting.reduce((sum, { weight }) => sum + weight, 0);
		for (const [i, consumer] of wanting.entries()) {
			const fair = i === wanting.length - 1 ? left : (left * consumer.weight) / weights;
			consumer.rate = Math.min(consumer.wanted, fair);
			left -= consumer.rate;
			weights -= consumer.weight;
		}
	}

	#end(due: Job): void {
		this.#nextEnd = undefined;
		this.#settle();
		const ended: Job[] = [];
		for (const { jobs, underWay } of this.#consumers)
			for (const job of jobs.slice(0, underWay))
				if (job === due || job.leftMs <= ROUNDING_MS) {
					jobs.splice(jobs.indexOf(job), 1);
					ended.push(job);
				}
		this.#divide();
		for (const { done } of ended) done();
	}
}
