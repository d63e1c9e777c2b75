/** Events in virtual time without promises: for models whose every step is a plain function. */

/** See the head of this file. Events of one instant happen in the order in which they were scheduled. */
export class EventQueue {
	nowMs = 0;
	/** A binary heap by time, then order; three arrays instead of objects. */
	readonly #times: number[] = [];
	readonly #orders: number[] = [];
	readonly #actions: (() => void)[] = [];
	#order = 0;

	/** Calls `action` in so many ms. */
	schedule(durationMs: number, action: () => void): void {
		const timeMs = this.nowMs + durationMs;
		const order = this.#order++;
		let place = this.#times.length;
		while (place > 0) {
			const parent = (place - 1) >> 1;
			if (this.#times[parent]! <= timeMs) break;
			this.#move(parent, place);
			place = parent;
		}
		this.#set(place, timeMs, order, action);
	}

	/** Lets the next event happen. @returns whether there was one. */
	step(): boolean {
		const action = this.#actions[0];
		if (action === undefined) return false;
		this.nowMs = this.#times[0]!;
		const timeMs = this.#times.pop()!;
		const order = this.#orders.pop()!;
		const last = this.#actions.pop()!;
		if (this.#times.length > 0) this.#sink(timeMs, order, last);
		action();
		return true;
	}

	#sink(timeMs: number, order: number, action: () => void): void {
		let place = 0;
		for (;;) {
			let child = 2 * place + 1;
			if (child >= this.#times.length) break;
			if (child + 1 < this.#times.length && this.#isBefore(child + 1, this.#times[child]!, this.#orders[child]!))
				child++;
			if (!this.#isBefore(child, timeMs, order)) break;
			this.#move(child, place);
			place = child;
		}
		this.#set(place, timeMs, order, action);
	}

	#isBefore(place: number, timeMs: number, order: number): boolean {
		return this.#times[place]! < timeMs || (this.#times[place] === timeMs && this.#orders[place]! < order);
	}

	#move(from: number, to: number): void {
		this.#set(to, this.#times[from]!, this.#orders[from]!, this.#actions[from]!);
	}

	#set(place: number, timeMs: number, order: number, action: () => void): void {
		this.#times[place] = timeMs;
		this.#orders[place] = order;
		this.#actions[place] = action;
	}
}
