// Requests to a guest's worker that wait for their answers, each by its number; when the worker ends, all of them learn it.

interface Pending {
	resolve(value: unknown): void;
	reject(error: unknown): void;
}

/** See the head of this file. One per worker. */
export class WorkerRequests {
	readonly #pending = new Map<number, Pending>();
	#nextId = 1;
	#ended: Error | undefined;

	/** Set once the worker is of no more use: what every later request rejects with. */
	get ended(): Error | undefined {
		return this.#ended;
	}

	/** Whether nothing waits for an answer. */
	get isIdle(): boolean {
		return this.#pending.size === 0;
	}

	/** A number that no request has. */
	takeId(): number {
		return this.#nextId++;
	}

	/** Sends a request and waits for its answer. @throws what `post` throws, what {@link fail} is given, the reason of {@link end} */
	send(post: (id: number) => void): Promise<unknown> {
		return new Promise((resolve, reject) => {
			if (this.#ended !== undefined) return reject(this.#ended);
			const id = this.takeId();
			this.#pending.set(id, { resolve, reject });
			try {
				post(id);
			} catch (error) {
				this.#pending.delete(id);
				reject(error);
			}
		});
	}

	/** A request has been answered. One that nobody waits for is no error. */
	answer(id: number, value: unknown): void {
		this.#take(id)?.resolve(value);
	}

	/** A request has failed. */
	fail(id: number, error: unknown): void {
		this.#take(id)?.reject(error);
	}

	/** No more answers: everything pending and everything later rejects with `reason`. The first reason stays. */
	end(reason: Error): void {
		this.#ended ??= reason;
		const waiting = [...this.#pending.values()];
		this.#pending.clear();
		for (const { reject } of waiting) reject(this.#ended);
	}

	#take(id: number): Pending | undefined {
		const pending = this.#pending.get(id);
		this.#pending.delete(id);
		return pending;
	}
}
