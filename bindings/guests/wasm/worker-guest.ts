// A started guest inside its worker, and what works beside it: which job may run when, and which code.
import type { Clock } from "../../ports/clock.ts";
import { GuestError } from "../../ports/guest.ts";
import { type CompiledEngine, compileEngines } from "./compiled-engine.ts";
import { messageOf } from "./errors.ts";
import { type FaultEvents, FaultWork } from "./fault-work.ts";
import { GuestInstance, type InstanceParts, LARGEST_WASM_PAGES, PAGES_PER_WASM_PAGE } from "./guest-instance.ts";
import type { MemoryWatch } from "./host-access.ts";
import type { LiveCode } from "./live-code.ts";
import { describeModule } from "./module/layout.ts";
import { moduleFact } from "./module-hash.ts";
import { PageWork } from "./page-work.ts";
import type { ProgramDefinition } from "./program.ts";
import type {
	FaultMessage,
	JobOrder,
	Jobs,
	ProgramFacts,
	StartedFacts,
	StartOrder,
	WorkerMemoryUse,
} from "./protocol.ts";
import { type Job, WorkLoop } from "./work-loop.ts";

/** What a guest needs of its worker. */
export interface GuestWorkerPorts {
	readonly clock: Clock;
	post(message: FaultMessage): void;
}

/** A started guest and what works beside it. */
export class WorkerGuest {
	readonly instance: GuestInstance;
	readonly loop: WorkLoop;
	readonly facts: StartedFacts;
	/** Set at the first resume of a target: its pages are the guest's own from then on. */
	activated: boolean;
	readonly #ports: GuestWorkerPorts;
	readonly #isFaulting: boolean;
	#work: PageWork;
	#faults: FaultWork | undefined;

	private constructor(
		instance: GuestInstance,
		order: StartOrder,
		facts: StartedFacts,
		ports: GuestWorkerPorts,
		compiled: CompiledEngine,
	) {
		const isTarget = order.targetPageCount !== undefined;
		this.instance = instance;
		this.facts = facts;
		this.activated = !isTarget;
		this.#ports = ports;
		this.#isFaulting = order.faulting;
		instance.watch = this.#watch();
		this.#work = new PageWork(instance.memory, compiled, order);
		if (isTarget) this.#work.prepareTarget();
		const hooks = {
			quiesce: () => hook("quiesce", () => instance.running.quiesce?.()),
			wake: () => hook("wake", () => instance.running.wake?.()),
		};
		this.loop = new WorkLoop(ports.clock, order.sliceMs, hooks, isTarget);
	}

	static async start(program: ProgramDefinition, order: StartOrder, ports: GuestWorkerPorts): Promise<WorkerGuest> {
		const given = order.moduleBytes ?? (await program.moduleBytes?.());
		if (given === undefined)
			throw new GuestError("incompatible", `program ${program.name} brings no module, and none was given`);
		const moduleBytes = ownBytes(given);
		const { memory } = describeModule(moduleBytes);
		const wasmPages = Math.max(memory.minimumPages, (order.targetPageCount ?? 0) / PAGES_PER_WASM_PAGE);
		if (wasmPages > LARGEST_WASM_PAGES)
			throw new GuestError(
				"too-large",
				`a memory of ${wasmPages} pages of 64 KiB; a guest has at most ${LARGEST_WASM_PAGES}`,
			);
		const prepare = order.faulting ? waitForPages : undefined;
		const parts: InstanceParts = { program, moduleBytes, compiled: order.compiled, prepare };
		const instance =
			order.targetPageCount === undefined
				? await GuestInstance.begin(parts)
				: await GuestInstance.prepare(parts, order.targetPageCount);
		const facts: StartedFacts = {
			program: factsOf(program),
			maximumPageCount: instance.maximumPageCount,
			module: await moduleFact(moduleBytes),
			compiled: instance.compiled,
		};
		return new WorkerGuest(instance, order, facts, ports, compileEngines());
	}

	/** Begins a job. @throws GuestError `not-paused` for what needs a pause */
	begin(order: JobOrder): Job<Jobs[keyof Jobs]["result"]> {
		const work = this.#work;
		switch (order.name) {
			case "open":
				this.#allHere("a shadow of the memory", 0, this.instance.pageCount);
				return work.open();
			case "peek":
				return work.peek(order);
			case "harvest":
				return work.harvest(order);
			case "put-back":
				return work.putBack(order);
			case "close":
				return work.close(order);
			case "encode":
				for (const page of order.pageIndices) this.#allHere("a batch", page, 1);
				return work.encode(order, () => this.loop.paused);
			case "apply":
				return this.#onTarget("apply", () => work.apply(order));
			case "hashes":
				this.#allHere("hashes", order.firstPage, order.pageCount);
				return work.hashes(order);
			case "grow":
				return this.#onTarget("grow", () => this.#grow(order.pageCount));
			case "capture":
				return this.#whilePaused("capture", async () => ({ bytes: await this.instance.capture() }));
			case "restore":
				return this.#onTarget("restore", () => this.#restore(order.bytes));
			case "begin-faults":
				return this.#onTarget("begin", () => this.#beginFaults(order));
			case "end-faults":
				return this.#endFaults();
			case "module-bytes":
				return { bytes: this.instance.moduleBytes.slice() };
			case "prepare":
				return this.#prepare();
			case "memory-use":
				return this.#memoryUse();
		}
	}

	#whilePaused<Result>(what: string, job: () => Result): Result {
		if (!this.loop.paused) throw new GuestError("not-paused", `${what}: the guest runs`);
		return job();
	}

	#onTarget<Result>(what: string, job: () => Result): Result {
		if (this.activated)
			throw new GuestError("not-paused", `${what}: this guest has run; only a target that has not takes it`);
		return job();
	}

	async #grow(pageCount: number): Promise<object> {
		if (await this.instance.grow(pageCount)) {
			this.#work = this.#work.movedTo(this.instance.memory);
			this.#work.prepareTarget();
		}
		return {};
	}

	async #restore(bytes: Uint8Array): Promise<object> {
		await this.instance.restore(bytes);
		return {};
	}

	/** Pages have come: installs them when the guest's thread is free. */
	drain(): void {
		const faults = this.#faults;
		if (faults !== undefined) void this.loop.job(() => faults.drain());
	}

	#beginFaults({ shared, missing }: Jobs["begin-faults"]["order"]): object {
		if (!this.#isFaulting || this.#faults !== undefined)
			throw new GuestError(
				"state",
				"begin: this guest was not set up to run while pages are missing, or does so already",
			);
		const { clock, post } = this.#ports;
		const { live, memory } = this.instance;
		const events: FaultEvents = {
			onFault: (pageIndex) => post({ kind: "fault", pageIndex }),
			onTaken: () => post({ kind: "taken" }),
			onRefused: (number, error) => post({ kind: "refused", number, error }),
		};
		const parts = { memory, clock, events, map: live.map("presence"), decoder: this.#work.decoder };
		const faults = new FaultWork(parts, shared, missing);
		live.onArrive("presence", (pageIndex) => faults.arrive(pageIndex));
		this.#faults = faults;
		return {};
	}

	#endFaults(): object {
		const remaining = this.#faults?.remaining ?? 0;
		if (remaining > 0) throw new GuestError("state", `end: ${remaining} pages are still missing`);
		this.#faults = undefined;
		this.loop.atBoundary(() => this.instance.live.switchTo("plain"));
		return {};
	}

	#allHere(what: string, firstPage: number, pageCount: number): void {
		if (this.#faults?.hasAny(firstPage, pageCount))
			throw new GuestError("missing", `${what}: pages of this guest are not here yet`);
	}

	#watch(): MemoryWatch {
		return {
			touch: (pointer, byteLength) => this.#faults?.touch(pointer, byteLength),
			wrote: () => undefined,
		};
	}

	*#prepare(): Generator<void, object> {
		yield* this.#work.prepare();
		return {};
	}

	#memoryUse(): WorkerMemoryUse {
		const { shadowBytes, engineBytes } = this.#work;
		const { live, memory } = this.instance;
		return { guestBytes: memory.buffer.byteLength, shadowBytes, engineBytes, code: live.variant };
	}
}

/** Code that waits for missing pages runs from the start, so that the switch has nothing to do. */
async function waitForPages(live: LiveCode): Promise<void> {
	await live.ready("presence");
	live.switchTo("presence");
}

/** @throws GuestError `state` for whatever a hook throws */
async function hook(name: string, run: () => void | Promise<void>): Promise<void> {
	try {
		await run();
	} catch (cause) {
		throw new GuestError("state", `the program's ${name} failed: ${messageOf(cause)}; the guest runs on`, cause);
	}
}

/** What of a program the host must know. */
export function factsOf({ name, version, policy, hostAccess }: ProgramDefinition): ProgramFacts {
	return { name, version, clock: policy.clock, random: policy.random, hostAccess: hostAccess ?? "undeclared" };
}

/** Bytes in a buffer of their own, as every later step needs them. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	return Uint8Array.from(bytes);
}
