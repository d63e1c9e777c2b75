/**
 * Processes on one store of which each can fall asleep at any of its operations, for as long as the others like: a machine
 * that swaps, a laptop that is closed, a virtual machine that is moved. While it sleeps its clock stands still, as a machine's
 * monotonic clock does; one that is never woken has crashed.
 */
import type { Clock } from "../../bindings/ports/clock.ts";
import type { Store } from "../../bindings/ports/store.ts";

/** Where to fall asleep: at the operation of this number, before it is done or when it is done but not known to be. */
export interface Nap {
	readonly operation: number;
	readonly side: "before" | "after";
	/** Only moves of references count as operations. */
	readonly ofMoves?: boolean;
}

/** One process: its view of the store, and its clock. */
export class Sleeper {
	readonly store: Store;
	readonly clock: Clock;
	/** Operations so far. */
	operations = 0;
	nowMs = 0;
	#nap: Nap | undefined;
	#fellAsleep: () => void = () => {};
	#wake: (() => void) | undefined;

	constructor(store: Store) {
		const act = async <Value>(work: () => Promise<Value>, isMove = false): Promise<Value> => {
			const nap = this.#nap;
			if (isMove || nap?.ofMoves !== true) this.operations++;
			const isTime = nap !== undefined && this.operations === nap.operation && (isMove || nap.ofMoves !== true);
			if (isTime && nap.side === "before") await this.#sleep();
			const value = await work();
			if (isTime && nap.side === "after") await this.#sleep();
			return value;
		};
		this.store = {
			put: (name, bytes) => act(() => store.put(name, bytes)),
			get: (name, range) => act(() => store.get(name, range)),
			list: (prefix) => act(() => store.list(prefix)),
			delete: (name) => act(() => store.delete(name)),
			readReference: (name) => act(() => store.readReference(name)),
			compareAndSetReference: (name, expected, next) =>
				act(() => store.compareAndSetReference(name, expected, next), true),
			listReferences: (prefix) => act(() => store.listReferences(prefix)),
		};
		this.clock = { now: () => this.nowMs, sleep: async () => {} };
	}

	get isAsleep(): boolean {
		return this.#wake !== undefined;
	}

	/**
	 * Runs `work` until it has ended or the process falls asleep.
	 * @returns `ended`: settles with the work; `isOver`: whether it has.
	 */
	async run(
		work: () => Promise<void>,
		nap?: Nap,
	): Promise<{ readonly isOver: boolean; readonly ended: Promise<void> }> {
		this.operations = 0;
		this.#nap = nap;
		const asleep = new Promise<"asleep">((resolve) => {
			this.#fellAsleep = () => resolve("asleep");
		});
		const ended = work();
		ended.catch(() => undefined); // whoever waits for the end sees it
		const first = await Promise.race([asleep, ended.then(() => "over" as const)]);
		return { isOver: first === "over", ended };
	}

	/** Goes on where it fell asleep. */
	wake(): void {
		const wake = this.#wake;
		this.#wake = undefined;
		this.#nap = undefined;
		wake?.();
	}

	#sleep(): Promise<void> {
		return new Promise((resolve) => {
			this.#wake = resolve;
			this.#fellAsleep();
		});
	}
}
