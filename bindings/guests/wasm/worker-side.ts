/**
 * The far side of a wasm guest: what runs in its worker. It owns the instance, the engines beside its memory and the
 * tracker; the near side (guest.ts) owns nothing but ids.
 */
import type { Clock } from "../../ports/clock.ts";
import { GuestError } from "../../ports/guest.ts";
import type { WorkerScope } from "../../ports/worker.ts";
import { type CompiledEngine, compileEngines } from "./compiled-engine.ts";
import { CallError, messageOf, recordError, recordProgramFailure } from "./errors.ts";
import { GuestInstance, LARGEST_WASM_PAGES, PAGES_PER_WASM_PAGE } from "./guest-instance.ts";
import { describeModule } from "./module/layout.ts";
import { moduleFact } from "./module-hash.ts";
import { PageWork } from "./page-work.ts";
import { type ProgramDefinition, programOf } from "./program.ts";
import type {
	HostMessage,
	JobOrder,
	Jobs,
	ProgramDescription,
	ProgramFacts,
	StartedFacts,
	StartOrder,
	WorkerMemoryUse,
	WorkerMessage,
	WorkReport,
} from "./protocol.ts";
import { type Job, WorkLoop } from "./work-loop.ts";

/** Starts the worker's side. A platform's worker entry calls this once, with its own end of the channel. */
export function startWasmGuestWorker(scope: WorkerScope): void {
	const worker = new GuestWorker(scope);
	// allowed (cast): the host end of the same release posts nothing else into this worker
	scope.onMessage = (message) => worker.receive(message as HostMessage);
}

/** Answers messages. One guest per worker. */
class GuestWorker {
	readonly #scope: WorkerScope;
	readonly #clock: Clock;
	#guest: WorkerGuest | undefined;

	constructor(scope: WorkerScope) {
		this.#scope = scope;
		this.#clock = scope.clock;
	}

	receive(message: HostMessage): void {
		switch (message.kind) {
			case "describe":
				this.#answer(message.id, this.#describe(message.programUrl));
				break;
			case "start":
				this.#answer(message.id, this.#start(message));
				break;
			case "call":
				this.#call(message.id, message.request);
				break;
			case "cancel-call":
				this.#guest?.loop.cancelCall(message.id, new CallError("gone", "the caller gave up before the call started"));
				break;
			case "pause":
				this.#answer(message.id, this.#pause());
				break;
			case "resume":
				this.#answer(message.id, this.#resume());
				break;
			case "job":
				this.#answer(message.id, this.#job(message.job), buffersOf);
		}
	}

	async #describe(programUrl: string): Promise<ProgramDescription> {
		const program = programOf(await this.#scope.load(programUrl), programUrl);
		const bytes = await program.moduleBytes?.();
		return { program: factsOf(program), moduleBytes: bytes === undefined ? undefined : ownBytes(bytes) };
	}

	async #start(order: StartOrder): Promise<StartedFacts> {
		if (this.#guest !== undefined) throw new TypeError("this worker has a guest already");
		const program = programOf(await this.#scope.load(order.programUrl), order.programUrl);
		this.#guest = await WorkerGuest.start(program, order, this.#clock);
		return this.#guest.facts;
	}

	#call(id: number, request: unknown): void {
		const { loop, instance } = this.#started();
		loop.call(
			id,
			() => instance.running.call(request),
			(outcome) => {
				if ("error" in outcome) this.#fail(id, outcome.error, false, instance.pageCount);
				else {
					try {
						this.#post({ kind: "answer", id, response: outcome.response, pageCount: instance.pageCount });
					} catch (error) {
						this.#fail(id, error, true, instance.pageCount);
					}
				}
			},
		);
	}

	#fail(id: number, error: unknown, unsendable: boolean, pageCount: number): void {
		this.#post({ kind: "call-failure", id, error: recordProgramFailure(error), unsendable, pageCount });
	}

	async #pause(): Promise<void> {
		await this.#started().loop.pause();
	}

	async #resume(): Promise<void> {
		const guest = this.#started();
		guest.activated = true;
		await guest.loop.resume();
	}

	async #job(job: JobOrder): Promise<unknown> {
		const guest = this.#started();
		return guest.loop.job(() => guest.begin(job));
	}

	#started(): WorkerGuest {
		if (this.#guest === undefined) throw new GuestError("gone", "this worker has no guest");
		return this.#guest;
	}

	#answer(id: number, work: Promise<unknown>, transferred: (value: unknown) => ArrayBuffer[] = () => []): void {
		work.then(
			(value) => this.#post({ kind: "reply", id, value, report: this.#report() }, transferred(value)),
			(error: unknown) => this.#post({ kind: "failure", id, error: recordError(error), report: this.#report() }),
		);
	}

	#report(): WorkReport {
		const guest = this.#guest;
		return { pageCount: guest?.instance.pageCount ?? 0, slicesMs: guest?.loop.takeSlices() ?? [] };
	}

	#post(message: WorkerMessage, transfer: readonly ArrayBuffer[] = []): void {
		this.#scope.post(message, transfer);
	}
}

/** A started guest and what works beside it. */
class WorkerGuest {
	readonly instance: GuestInstance;
	readonly loop: WorkLoop;
	readonly facts: StartedFacts;
	/** Set at the first resume of a target: its pages are the guest's own from then on. */
	activated: boolean;
	#work: PageWork;

	private constructor(
		instance: GuestInstance,
		order: StartOrder,
		facts: StartedFacts,
		clock: Clock,
		compiled: CompiledEngine,
	) {
		const isTarget = order.targetPageCount !== undefined;
		this.instance = instance;
		this.facts = facts;
		this.activated = !isTarget;
		this.#work = new PageWork(instance.memory, compiled, order);
		if (isTarget) this.#work.prepareTarget();
		const hooks = {
			quiesce: () => hook("quiesce", () => instance.running.quiesce?.()),
			wake: () => hook("wake", () => instance.running.wake?.()),
		};
		this.loop = new WorkLoop(clock, order.sliceMs, hooks, isTarget);
	}

	static async start(program: ProgramDefinition, order: StartOrder, clock: Clock): Promise<WorkerGuest> {
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
		const parts = { program, moduleBytes };
		const instance =
			order.targetPageCount === undefined
				? await GuestInstance.begin(parts)
				: await GuestInstance.prepare(parts, order.targetPageCount);
		const facts: StartedFacts = {
			program: factsOf(program),
			maximumPageCount: instance.maximumPageCount,
			module: await moduleFact(moduleBytes),
		};
		return new WorkerGuest(instance, order, facts, clock, compileEngines());
	}

	/** Begins a job. @throws GuestError `not-paused` for what needs a pause */
	begin(order: JobOrder): Job<Jobs[keyof Jobs]["result"]> {
		const work = this.#work;
		switch (order.name) {
			case "open":
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
				return work.encode(order, () => this.loop.paused);
			case "apply":
				return this.#onTarget("apply", () => work.apply(order));
			case "hashes":
				return work.hashes(order);
			case "grow":
				return this.#onTarget("grow", () => this.#grow(order.pageCount));
			case "capture":
				return this.#whilePaused("capture", async () => ({ bytes: await this.instance.capture() }));
			case "restore":
				return this.#onTarget("restore", () => this.#restore(order.bytes));
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

	*#prepare(): Generator<void, object> {
		yield* this.#work.prepare();
		return {};
	}

	#memoryUse(): WorkerMemoryUse {
		const { shadowBytes, engineBytes } = this.#work;
		return { guestBytes: this.instance.memory.buffer.byteLength, shadowBytes, engineBytes };
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

function factsOf({ name, version, policy }: ProgramDefinition): ProgramFacts {
	return { name, version, clock: policy.clock, random: policy.random };
}

/** Bytes in a buffer of their own, as every later step needs them. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	return Uint8Array.from(bytes);
}

/** What a reply hands over instead of copying. */
function buffersOf(value: unknown): ArrayBuffer[] {
	const { buffer, bits, hashes, bytes }: Partial<Record<string, unknown>> = { ...(typeof value === "object" && value) };
	return [buffer, bits, hashes, bytes].flatMap((part) => {
		const held = part instanceof Uint8Array ? part.buffer : part;
		return held instanceof ArrayBuffer ? [held] : [];
	});
}
