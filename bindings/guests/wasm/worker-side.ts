/**
 * The far side of a wasm guest: what runs in its worker. It owns the instance, the engines beside its memory and the
 * tracker; the near side (guest.ts) owns nothing but ids.
 */
import type { Clock } from "../../ports/clock.ts";
import { GuestError } from "../../ports/guest.ts";
import type { WorkerScope } from "../../ports/worker.ts";
import { recordError } from "../error-record.ts";
import { CallError, recordProgramFailure } from "./errors.ts";
import { programOf } from "./program.ts";
import type {
	HostMessage,
	JobOrder,
	ProgramDescription,
	StartedFacts,
	StartOrder,
	WorkerMessage,
	WorkReport,
} from "./protocol.ts";
import { factsOf, ownBytes, WorkerGuest } from "./worker-guest.ts";

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
			case "freeze":
				this.#guest?.serveFrozen(message.memory);
				break;
			case "inbox":
				this.#guest?.drain();
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
		this.#guest = await WorkerGuest.start(program, order, {
			clock: this.#clock,
			post: (message) => this.#post(message),
			emit: (value) => this.#post({ kind: "output", value }),
		});
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
		return guest.loop.job(() => guest.begin(job), isUrgent(job) ? "urgent" : "in-order");
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

/** Few pages are what a guest in post-copy waits for at its target: they do not queue behind what is pushed. */
const URGENT_PAGES = 2;

function isUrgent(job: JobOrder): boolean {
	return job.name === "encode" && job.deltas === undefined && job.pageIndices.length <= URGENT_PAGES;
}

/** What a reply hands over instead of copying. */
function buffersOf(value: unknown): ArrayBuffer[] {
	const { buffer, bits, hashes, bytes }: Partial<Record<string, unknown>> = { ...(typeof value === "object" && value) };
	return [buffer, bits, hashes, bytes].flatMap((part) => {
		const held = part instanceof Uint8Array ? part.buffer : part;
		return held instanceof ArrayBuffer ? [held] : [];
	});
}
