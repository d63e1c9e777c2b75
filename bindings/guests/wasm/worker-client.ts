// The near end of the worker's channel: each message gets its answer by id; when the worker ends, all that wait learn it.
import type { WorkerThread } from "../../ports/worker.ts";
import type { FaultMessage } from "../fault-work.ts";
import type { FaultedWorker } from "../inbox-faults.ts";
import { WorkerRequests } from "../worker-requests.ts";
import { restoreError } from "./errors.ts";
import type { Answers, HostMessage, JobOrder, Jobs, WorkerMessage, WorkReport } from "./protocol.ts";

/** Messages that are answered by a reply or a failure. */
type Request<Kind extends HostMessage["kind"]> = Omit<Extract<HostMessage, { kind: Kind }>, "id">;

/** What the client tells its owner. */
export interface WorkerEvents {
	/** An answer to a call. */
	onCallSettled(message: Extract<WorkerMessage, { kind: "answer" | "call-failure" }>): void;
	/** News of the guest, before the request that brought it resolves. */
	onReport(report: WorkReport): void;
	/** The program says something to the outside. */
	onOutput?(value: unknown): void;
	/** News of missing pages. */
	onFaultMessage?(message: FaultMessage): void;
	/** The worker ended by itself. Pending requests reject with what {@link WorkerClient.end} was given. */
	onEnd(error: unknown): void;
}

/**
 * @returns the same elements in a buffer of just their size. Cloning a view clones all of the buffer behind it, which for
 *   a list in an engine's memory is that whole memory.
 */
export function compact<View extends Uint8Array | Uint32Array>(view: View): View {
	// allowed (cast): a slice has its array's own type, which the library types widen
	return view.byteLength === view.buffer.byteLength ? view : (view.slice() as View);
}

/** See the head of this file. */
export class WorkerClient {
	readonly #thread: WorkerThread;
	readonly #events: WorkerEvents;
	readonly #requests = new WorkerRequests();
	/** Called before each message: a worker that waits on shared memory must be let go first. */
	beforePost: () => void = () => undefined;

	constructor(thread: WorkerThread, events: WorkerEvents) {
		this.#thread = thread;
		this.#events = events;
		// allowed (cast): the worker runs worker-side.ts of the same release, which posts nothing else
		thread.onMessage = (message) => this.#receive(message as WorkerMessage);
		thread.onEnd = (error) => events.onEnd(error);
	}

	/** Set once the worker is of no more use: what every later request rejects with. */
	get ended(): Error | undefined {
		return this.#requests.ended;
	}

	/** Whether nothing waits for an answer, calls of the program aside. */
	get isIdle(): boolean {
		return this.#requests.isIdle;
	}

	/** An id for a call, whose answer comes by {@link WorkerEvents.onCallSettled}. */
	takeId(): number {
		return this.#requests.takeId();
	}

	/** Sends what has no answer of its own. @throws what cloning the message throws */
	post(message: HostMessage): void {
		if (this.ended !== undefined) return;
		this.beforePost();
		this.#thread.post(message);
	}

	/** @throws the worker's failure, or the reason of {@link end} */
	request<Kind extends keyof Answers>(message: Request<Kind> & { readonly kind: Kind }): Promise<Answers[Kind]> {
		// allowed (cast): a message of this kind, answered by its kind: TypeScript follows neither through the generic
		return this.#send((id) => ({ ...message, id }) as unknown as HostMessage, []) as Promise<Answers[Kind]>;
	}

	/** Runs a job beside the guest's memory. @param transfer buffers that go along */
	run<Name extends keyof Jobs>(
		job: { readonly name: Name } & Jobs[Name]["order"],
		transfer: readonly ArrayBuffer[] = [],
	): Promise<Jobs[Name]["result"]> {
		// allowed (cast): as above, for a job and its result
		return this.#send((id) => ({ kind: "job", id, job: job as JobOrder }), transfer) as Promise<Jobs[Name]["result"]>;
	}

	/** No more answers: everything pending and everything later rejects with `reason`. The first reason stays. */
	end(reason: Error): void {
		this.#requests.end(reason);
	}

	/** Ends the worker. */
	terminate(): Promise<void> {
		this.beforePost();
		return this.#thread.terminate();
	}

	#send(message: (id: number) => HostMessage, transfer: readonly ArrayBuffer[]): Promise<unknown> {
		return this.#requests.send((id) => {
			this.beforePost();
			this.#thread.post(message(id), transfer);
		});
	}

	#receive(message: WorkerMessage): void {
		if (message.kind === "answer" || message.kind === "call-failure") {
			this.#events.onCallSettled(message);
			return;
		}
		if (message.kind === "fault" || message.kind === "taken" || message.kind === "refused") {
			this.#events.onFaultMessage?.(message);
			return;
		}
		if (message.kind === "output") {
			this.#events.onOutput?.(message.value);
			return;
		}
		this.#events.onReport(message.report);
		if (message.kind === "reply") this.#requests.answer(message.id, message.value);
		else this.#requests.fail(message.id, restoreError(message.error));
	}
}

/** The worker, as missing pages see it. */
export function faultedWorker(worker: WorkerClient): FaultedWorker {
	return {
		get ended() {
			return worker.ended;
		},
		beginFaults: async (shared, missing) => void (await worker.run({ name: "begin-faults", shared, missing })),
		endFaults: async () => void (await worker.run({ name: "end-faults" })),
		nudge: () => worker.post({ kind: "inbox" }),
	};
}
