// The near end of a RAM worker: each job gets its answer by id; when the worker ends, all that wait learn it.
import { GuestError } from "../../ports/guest.ts";
import type { WorkerThread } from "../../ports/worker.ts";
import { errorOf, type RamJobName, type RamJobs, type RamReply, type RamRequest } from "./ram-protocol.ts";

interface Pending {
	resolve(value: unknown): void;
	reject(error: Error): void;
}

/** See the head of this file. */
export class RamClient {
	readonly #thread: WorkerThread;
	readonly #pending: Map<number, Pending> = new Map();
	#nextId = 1;
	#ended: Error | undefined;

	constructor(thread: WorkerThread, onEnd: (error: GuestError) => void) {
		this.#thread = thread;
		// allowed (cast): the worker runs ram-worker.ts of the same release, which posts nothing else
		thread.onMessage = (message) => this.#receive(message as RamReply);
		thread.onEnd = (cause) => {
			const error = new GuestError("crashed", `a worker beside the guest's memory ended: ${String(cause)}`, cause);
			this.#fail(error);
			onEnd(error);
		};
	}

	/** Set once the worker is of no more use. */
	get ended(): Error | undefined {
		return this.#ended;
	}

	/** Runs a job. @param transfer buffers that go along */
	run<Name extends RamJobName>(
		job: { readonly name: Name } & RamJobs[Name]["order"],
		transfer: readonly ArrayBuffer[] = [],
	): Promise<RamJobs[Name]["result"]> {
		return new Promise((resolve, reject) => {
			if (this.#ended !== undefined) return reject(this.#ended);
			const id = this.#nextId++;
			// allowed (cast): the answer to a job of this name, which TypeScript does not follow through the generic
			this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject });
			// allowed (cast): as above, for the job
			this.#thread.post({ id, job: job as unknown as RamRequest["job"] } satisfies RamRequest, transfer);
		});
	}

	/** Ends the worker: everything pending and everything later rejects with `reason`. */
	async end(reason: Error): Promise<void> {
		this.#fail(reason);
		await this.#thread.terminate();
	}

	#fail(reason: Error): void {
		this.#ended ??= reason;
		const waiting = [...this.#pending.values()];
		this.#pending.clear();
		for (const { reject } of waiting) reject(this.#ended);
	}

	#receive(reply: RamReply): void {
		const pending = this.#pending.get(reply.id);
		this.#pending.delete(reply.id);
		if (pending === undefined) return;
		if ("failure" in reply) pending.reject(errorOf(reply.failure));
		else pending.resolve(reply.result);
	}
}
