// A started guest inside its worker, and what works beside it: which job may run when, and which code.
import type { Clock } from "../../ports/clock.ts";
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import type { RestoreFacts } from "../../ports/told-guest.ts";
import { messageOf } from "../error-record.ts";
import { type FaultMessage, FaultWork, postFaultEvents } from "../fault-work.ts";
import { bitsByteLength } from "../page-bits.ts";
import type { AttachedVariant } from "./code-variants.ts";
import { type CompiledEngine, compileEngines } from "./compiled-engine.ts";
import type { TrackerName } from "./dirty-tracker.ts";
import { type FrozenMemory, serveFrozen } from "./frozen-exchange.ts";
import { GuestInstance, type InstanceParts, LARGEST_WASM_PAGES, PAGES_PER_WASM_PAGE } from "./guest-instance.ts";
import type { MemoryWatch } from "./host-access.ts";
import type { LiveCode } from "./live-code.ts";
import { MissingMap } from "./missing-map.ts";
import { describeModule } from "./module/layout.ts";
import { supportsInstrumentation } from "./module/page-map.ts";
import { moduleFact } from "./module-hash.ts";
import { OrderWork } from "./order-work.ts";
import { PageWork } from "./page-work.ts";
import type { ProgramDefinition } from "./program.ts";
import { actOnBalloon } from "./program-balloon.ts";
import type { JobOrder, Jobs, ProgramFacts, StartedFacts, StartOrder, WorkerMemoryUse } from "./protocol.ts";
import { StandbyWork } from "./standby-work.ts";
import { type Job, WorkLoop } from "./work-loop.ts";

/** What a guest needs of its worker. */
export interface GuestWorkerPorts {
	readonly clock: Clock;
	post(message: FaultMessage): void;
	/** The program says something to the outside. @throws what cloning it throws */
	emit(value: unknown): void;
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
	readonly #tracker: TrackerName;
	#work: PageWork;
	#faults: FaultWork | undefined;
	/** From set-up on until nothing is missing. */
	#isWaiting: boolean;
	/** Why the code that is needed could not take over. */
	#codeFailure: unknown;
	/** Cursors of the barrier that wait for its code. */
	#opening = 0;
	readonly #order: OrderWork;
	readonly #standby = new StandbyWork();

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
		this.#isWaiting = order.faulting;
		instance.watch = this.#watch();
		instance.onEmit = (value) => ports.emit(value);
		this.#tracker = facts.tracker;
		this.#work = new PageWork(instance.memory, compiled, {
			...{ keepShadow: order.keepShadow, tracker: facts.tracker },
			now: () => ports.clock.now(),
		});
		if (isTarget) this.#work.prepareTarget();
		this.#order = new OrderWork({
			clock: ports.clock,
			variant: waitingVariant(this.#tracker),
			loop: () => this.loop,
			live: () => this.instance.live,
			work: () => this.#work,
			isWaiting: () => this.#isWaiting,
			settleCode: () => this.#codeSettled(),
		});
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
		const tracker = program.hostAccess === "declared" && supportsInstrumentation() ? order.tracker : "scan";
		const prepare = (live: LiveCode) => prepareCode(live, tracker, order.faulting);
		const parts: InstanceParts = { program, moduleBytes, compiled: order.compiled, prepare };
		const instance =
			order.targetPageCount === undefined
				? await GuestInstance.begin(parts)
				: await GuestInstance.prepare(parts, order.targetPageCount, order.prefault);
		const facts: StartedFacts = {
			program: factsOf(program),
			maximumPageCount: instance.maximumPageCount,
			module: await moduleFact(moduleBytes),
			tracker,
			ballooning: instance.running.balloon !== undefined,
			compiled: instance.compiled,
		};
		return new WorkerGuest(instance, order, facts, ports, compileEngines());
	}

	/** Begins a job. @throws GuestError `not-paused` for what needs a pause */
	begin(order: JobOrder): Job<Jobs[keyof Jobs]["result"]> {
		const work = this.#work;
		switch (order.name) {
			case "open":
				if (this.#tracker !== "barrier") this.#allHere("a shadow of the memory", 0, this.instance.pageCount);
				return this.#tracker === "scan" ? work.open() : this.#openMarked();
			case "peek":
				return work.peek(order);
			case "harvest":
				return work.harvest(order);
			case "put-back":
				return work.putBack(order);
			case "close":
				work.close(order);
				this.#settleCode();
				return {};
			case "encode":
				if (this.#faults !== undefined) for (const page of order.pageIndices) this.#allHere("a batch", page, 1);
				return work.encode(order, () => this.loop.paused);
			case "open-sender":
				return work.senders.open(order.sentPages);
			case "forget-sent":
				work.senders.encoder(order.sender).forgetSent();
				return {};
			case "close-sender":
				work.senders.close(order.sender);
				return {};
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
			case "tell":
				return this.#onTarget("tell", () => this.#tell(order.facts));
			case "begin-faults":
				return this.#onTarget("begin", () => this.#beginFaults(order));
			case "end-faults":
				return this.#endFaults();
			case "open-order":
				return this.#order.open();
			case "read-order":
				return { pages: this.#order.recentFirst() };
			case "close-order":
				return this.#order.close();
			case "apply-checkpoint":
				return this.#whilePaused("apply", () => this.#standby.apply(order, this.instance, this.#work));
			case "settle-checkpoint":
				return this.#whilePaused("settle", () => this.#standby.settle(this.instance));
			case "module-bytes":
				return { bytes: this.instance.moduleBytes.slice() };
			case "prepare":
				return this.#prepare();
			case "barrier-report":
				return work.barrierReport;
			case "throttle":
				this.loop.throttle(order.share);
				return {};
			case "balloon":
				return this.#balloon(order);
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

	/** What has been restored from a snapshot is told so, if it listens. */
	async #tell(facts: RestoreFacts): Promise<Jobs["tell"]["result"]> {
		const { running } = this.instance;
		if (running.restored === undefined) return { isTold: false };
		try {
			await running.restored(facts);
			return { isTold: true };
		} catch (cause) {
			throw new GuestError("state", `the program's restored() failed: ${messageOf(cause)}`, cause);
		}
	}

	async #restore(bytes: Uint8Array): Promise<object> {
		await this.instance.restore(bytes);
		return {};
	}

	/** Makes batches for a host that stands still for them, until it leaves; nothing else happens here meanwhile. */
	serveFrozen(memory: FrozenMemory): void {
		serveFrozen(memory, (order, into) => {
			this.#whilePaused("encode", () => undefined);
			for (const page of order.pageIndices) this.#allHere("a batch", page, 1);
			return this.#work.encodeNow(order, into);
		});
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
		const events = postFaultEvents(post);
		const variant = waitingVariant(this.#tracker);
		const map = new MissingMap(live.map(variant), missing, shared.pageCount);
		const decoder = this.#work.decoder;
		const parts = { memory: () => new Uint8Array(memory.buffer), clock, events, missing: map, decoder };
		const faults = new FaultWork(parts, shared);
		live.onArrive(variant, (pageIndex) => faults.arrive(pageIndex));
		this.#faults = faults;
		return {};
	}

	#endFaults(): object {
		const remaining = this.#faults?.remaining ?? 0;
		if (remaining > 0) throw new GuestError("state", `end: ${remaining} pages are still missing`);
		this.#faults?.end();
		// The table of code that may come to run again must not keep what was shared.
		if (this.#faults !== undefined) this.instance.live.onArrive(waitingVariant(this.#tracker), () => undefined);
		this.#faults = undefined;
		this.#isWaiting = false;
		this.#settleCode();
		return {};
	}

	/** The code that is needed now: what waits for pages, what marks writes, both or neither. */
	get #neededCode(): AttachedVariant | "plain" {
		if (this.#isWaiting || this.#order.samplesAccesses) return waitingVariant(this.#tracker);
		return (this.#work.barrier?.cursors ?? 0) > 0 || this.#opening > 0 ? "barrier" : "plain";
	}

	/** Brings the code that is needed, at the next call boundary. Where it cannot take over, what runs goes on. */
	#settleCode(): void {
		this.loop.atBoundary(() => {
			const { live } = this.instance;
			const variant = this.#neededCode;
			try {
				live.switchTo(variant);
				this.#work.barrier?.bind(variant === "barrier" || variant === "watched" ? live.map(variant) : undefined);
				this.#codeFailure = undefined;
			} catch (error) {
				this.#codeFailure = error;
			}
		});
	}

	/** Opens a cursor of the barrier, once its code runs. */
	async #openMarked(): Promise<Jobs["open"]["result"]> {
		this.#opening++;
		try {
			await this.#codeSettled();
			return toEnd(this.#work.open());
		} finally {
			this.#opening--;
		}
	}

	/** Brings the code that is needed; resolves at a call boundary. @throws GuestError `state` when it cannot take over */
	async #codeSettled(): Promise<void> {
		await new Promise<void>((resolve) => {
			this.#settleCode();
			this.loop.atBoundary(resolve);
		});
		if (this.#codeFailure === undefined) return;
		throw new GuestError(
			"state",
			`the guest's code cannot change now: ${messageOf(this.#codeFailure)}`,
			this.#codeFailure,
		);
	}

	/** Runs between two calls: a pause that is wished for comes after it. */
	#balloon({ act, pages }: Jobs["balloon"]["order"]): Jobs["balloon"]["result"] {
		const { running, memory } = this.instance;
		if (running.balloon === undefined) throw new GuestError("state", "balloon: this program has none");
		if (this.loop.paused && (act === "inflate" || act === "deflate"))
			throw new GuestError("not-running", `${act}: the guest is paused`);
		return actOnBalloon(running.balloon, memory, act, pages);
	}

	#allHere(what: string, firstPage: number, pageCount: number): void {
		if (this.#faults?.hasAny(firstPage, pageCount))
			throw new GuestError("missing", `${what}: pages of this guest are not here yet`);
	}

	#watch(): MemoryWatch {
		return {
			touch: (pointer, byteLength) => {
				this.#faults?.touch(pointer, byteLength);
				this.#order.touch(pointer, byteLength);
			},
			wrote: (pointer, byteLength) => this.#work.barrier?.wrote(pointer, byteLength),
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

/** The code that waits for missing pages: where a barrier tracks writes it marks them meanwhile. */
function waitingVariant(tracker: TrackerName): "presence" | "watched" {
	return tracker === "scan" ? "presence" : "watched";
}

/** Makes ready what may take over; code that waits for missing pages does at once, so that the switch has nothing to do. */
async function prepareCode(live: LiveCode, tracker: TrackerName, isFaulting: boolean): Promise<void> {
	if (tracker !== "scan") await live.ready("barrier");
	if (!isFaulting) return;
	await live.ready(waitingVariant(tracker));
	live.switchTo(waitingVariant(tracker));
	rehearseFaults(live.map(waitingVariant(tracker)), live.memory.buffer.byteLength / PAGE_BYTES);
}

/** Touches the map of missing pages, and runs once what the switch will run: a first call is slower, and so is fresh memory. */
function rehearseFaults(map: WebAssembly.Memory, pageCount: number): void {
	const missing = new MissingMap(map, new Uint8Array(bitsByteLength(pageCount)).fill(1, 0, 1), pageCount);
	missing.arrived(0);
	missing.end();
}

/** Runs a job that nobody shares the thread with. */
function toEnd<Result>(job: Generator<void, Result>): Result {
	for (;;) {
		const step = job.next();
		if (step.done === true) return step.value;
	}
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
