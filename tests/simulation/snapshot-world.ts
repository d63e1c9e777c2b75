/**
 * A small world for snapshots: one guest that keeps writing, a store on a slow disk that can fail, and a referee that keeps
 * the guest's memory of every pause. Everything runs in virtual time from one seed.
 */
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { type ByteRange, type Store, StoreError, type StoreErrorCode } from "../../bindings/ports/store.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";

/** Pages of the world's guest. */
export const PAGES = 48;

/** Whoever waits longer waits for ever: a deadline is missing somewhere. */
const END_OF_TIME_MS = 10 ** 6;

/** What the disk does to a write: nothing, an error, or silence until the time is up. */
export type DiskFault = StoreErrorCode | "stall";

/** A store in memory with the times of a disk. Writes can fail: each has a number, from 0. */
export class DiskStore implements Store {
	readonly inner = new MemoryStore();
	readonly #clock: VirtualClock;
	/** Bytes per ms. */
	rateBytesPerMs = 4000;
	latencyMs = 0.2;
	/** What becomes of write number n; `undefined`: it works. */
	fault: (write: number) => DiskFault | undefined = () => undefined;
	/** Called before each write. */
	onWrite: () => void = () => undefined;
	writes = 0;

	constructor(clock: VirtualClock) {
		this.#clock = clock;
	}

	async put(name: string, bytes: Uint8Array): Promise<void> {
		await this.#write(bytes.byteLength);
		return this.inner.put(name, bytes);
	}

	async compareAndSetReference(
		name: string,
		expected: Uint8Array | undefined,
		next: Uint8Array | undefined,
	): Promise<boolean> {
		await this.#write(64);
		return this.inner.compareAndSetReference(name, expected, next);
	}

	async get(name: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
		const bytes = await this.inner.get(name, range);
		await this.#clock.sleep(this.latencyMs + bytes.byteLength / this.rateBytesPerMs);
		return bytes;
	}

	list = (prefix: string) => this.inner.list(prefix);
	delete = (name: string) => this.inner.delete(name);
	readReference = (name: string) => this.inner.readReference(name);
	listReferences = (prefix: string) => this.inner.listReferences(prefix);

	async #write(byteLength: number): Promise<void> {
		this.onWrite();
		const fault = this.fault(this.writes++);
		await this.#clock.sleep(this.latencyMs + byteLength / this.rateBytesPerMs);
		if (fault === "stall") await this.#clock.sleep(END_OF_TIME_MS / 2);
		else if (fault !== undefined) throw new StoreError(fault, `the disk is ${fault}`);
	}
}

/** See the head of this file. */
export class SnapshotWorld {
	readonly clock = new VirtualClock(systemClock);
	readonly random: SeededRandom;
	readonly disk: DiskStore;
	readonly store: SnapshotStore;
	readonly guest: MemoryGuest;
	readonly factory: MemoryGuestFactory;
	/** Memory and state at each pause of the guest, the last one last. */
	readonly pauses: { readonly memory: Uint8Array; readonly state: Uint8Array }[] = [];
	writesPerMs = 2;
	#over = false;
	#writes = 0;

	constructor(seed: number, pages = PAGES) {
		this.random = new SeededRandom(seed);
		this.disk = new DiskStore(this.clock);
		this.store = new SnapshotStore(this.disk, { clock: this.clock, random: this.random });
		this.factory = new MemoryGuestFactory(this.clock, pages * 2);
		this.guest = new MemoryGuest({ pageCount: pages, maximumPageCount: pages * 2 });
		this.guest.write(0, this.random.fill(new Uint8Array((pages - 4) * PAGE_BYTES))); // the rest stays zero
		this.watch(this.guest);
	}

	get services() {
		return { guest: this.guest, store: this.store, clock: this.clock };
	}

	/** The guest at its last pause. */
	get lastPause() {
		return this.pauses.at(-1)!;
	}

	/** Keeps what a guest is at each of its pauses. */
	watch(guest: MemoryGuest): void {
		const { pause } = guest;
		guest.pause = async () => {
			await pause.call(guest);
			this.pauses.push({ memory: guest.read(0, guest.pageCount * PAGE_BYTES), state: guest.getState() });
		};
	}

	/** Runs `main` in virtual time with the guest at work, and stops everything afterwards. */
	async run<T>(main: () => Promise<T>): Promise<T> {
		return this.clock.run(async () => {
			const work = this.#work();
			try {
				return await Promise.race([main(), work.then(() => new Promise<never>(() => undefined))]);
			} finally {
				this.#over = true;
				await work;
			}
		});
	}

	/** What a snapshot holds, restored into a guest of its own. */
	async contentOf(id: string): Promise<{ readonly memory: Uint8Array; readonly state: Uint8Array }> {
		const { guest } = await this.restore(id);
		const memory = guest.read(0, guest.pageCount * PAGE_BYTES);
		const state = guest.getState();
		await guest.discard();
		return { memory, state };
	}

	/** A paused guest from a snapshot. */
	async restore(id: string): Promise<{ readonly guest: MemoryGuest; readonly generation: string }> {
		const snapshot = await this.store.open(id);
		const { clock, random } = this;
		const services = { snapshot, factories: [this.factory], clock, random };
		const { guest, generation } = await restore(services, { clock: "jump", random: "reseed", stayPaused: true });
		if (!(guest instanceof MemoryGuest)) throw new TypeError("another guest than was saved");
		return { guest, generation };
	}

	/** The guest's program: random writes, each ms, and a count in its state. */
	async #work(): Promise<void> {
		while (!this.#over) {
			if (this.clock.now() > END_OF_TIME_MS) throw new Error(`still waiting after ${this.clock.now()} ms`);
			for (let i = 0; this.guest.running && i < this.writesPerMs; i++) {
				const offset = this.random.nextU32() % (this.guest.pageCount * PAGE_BYTES - 4);
				const count = new Uint8Array(Uint32Array.of(++this.#writes).buffer);
				this.guest.write(offset, count);
				this.guest.setState(count);
			}
			await this.clock.sleep(1);
		}
	}
}

/** Whether two memories are the same, without printing either. */
export function isSame(one: Uint8Array, other: Uint8Array): boolean {
	return one.byteLength === other.byteLength && one.every((byte, i) => byte === other[i]);
}
