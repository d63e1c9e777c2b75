// The near end of the channel to a v86 guest's worker: each request gets its answer by id; when the worker ends, all that wait
// learn it.
import type { WorkerThread } from "../../ports/worker.ts";
import { restoreError } from "../error-record.ts";
import type { FaultMessage } from "../fault-work.ts";
import type { FaultedWorker } from "../inbox-faults.ts";
import { WorkerRequests } from "../worker-requests.ts";
import type { GuestReport, HostMessage, Jobs, StartOrder, WorkerMessage } from "./worker-protocol.ts";

/** What the client tells its owner. */
export interface WorkerEvents {
	/** News of the guest, before the request that brought it resolves. */
	onReport(report: GuestReport): void;
	onSerial(text: string): void;
	onFrame(frame: Uint8Array<ArrayBuffer>): void;
	onFaultMessage(message: FaultMessage): void;
	/** The guest has failed; its worker is there. */
	onCrash(error: Error): void;
	/** The worker ended by itself. */
	onEnd(error: unknown): void;
}

/** See the head of this file. */
export class WorkerClient implements FaultedWorker {
	readonly #thread: WorkerThread;
	readonly #events: WorkerEvents;
	readonly #requests = new WorkerRequests();

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

	/** @throws what the guest's building throws */
	async start(order: StartOrder): Promise<void> {
		await this.#send((id) => ({ kind: "start", id, order }));
	}

	/** Has something done. @param transfer - buffers that go along */
	run<Name extends keyof Jobs>(
		name: Name,
		order: Jobs[Name]["order"],
		transfer: readonly ArrayBuffer[] = [],
	): Promise<Jobs[Name]["result"]> {
		// allowed (cast): an order of this name, answered by its result: TypeScript follows neither through the generic
		const message = (id: number) => ({ kind: "job", id, job: { name, ...order } }) as unknown as HostMessage;
		// allowed (cast): the same
		return this.#send(message, transfer) as Promise<Jobs[Name]["result"]>;
	}

	/** Sends what has no answer. */
	post(message: Extract<HostMessage, { readonly kind: "serial" | "frame" | "inbox" }>): void {
		if (this.ended === undefined) this.#thread.post(message);
	}

	async beginFaults(...[shared, missing]: Parameters<FaultedWorker["beginFaults"]>): Promise<void> {
		await this.run("begin-faults", { shared, missing });
	}

	async endFaults(): Promise<void> {
		await this.run("end-faults", {});
	}

	nudge(): void {
		this.post({ kind: "inbox" });
	}

	/** No more answers: everything pending and everything later rejects with `reason`. The first reason stays. */
	end(reason: Error): void {
		this.#requests.end(reason);
	}

	/** Ends the worker. */
	terminate(): Promise<void> {
		return this.#thread.terminate();
	}

	#send(message: (id: number) => HostMessage, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
		return this.#requests.send((id) => this.#thread.post(message(id), transfer));
	}

	#receive(message: WorkerMessage): void {
		switch (message.kind) {
			case "serial":
				this.#events.onSerial(message.text);
				break;
			case "frame":
				this.#events.onFrame(message.frame);
				break;
			case "crashed":
				this.#events.onCrash(restoreError(message.error));
				break;
			case "reply":
				this.#events.onReport(message.report);
				this.#requests.answer(message.id, message.value);
				break;
			case "failure":
				this.#events.onReport(message.report);
				this.#requests.fail(message.id, restoreError(message.error));
				break;
			default:
				this.#events.onFaultMessage(message);
		}
	}
}
