/**
 * A host: a clock, a disk, the way to the lease's keeper, and the copies of guests on it. What happens to it happens to all
 * of them at once.
 *
 *   up ⇄ frozen        its programs do nothing, and do it later
 *   up ──▶ crashed     its programs, its copies and what was in memory are gone; the disk stays for the host that starts next
 */
import type { ManualLease } from "../../handover/manual-lease.ts";
import { type Lease, LeaseError, type LeaseGrant } from "../../ports/lease.ts";
import { type ByteRange, type Store, StoreError, type StoreErrorCode } from "../../ports/store.ts";
import type { EventClock } from "../virtual-clock.ts";
import { HostClock } from "./host-clock.ts";

/** The two ends of what is simulated. */
export type HostName = "source" | "target";

/** A copy of a guest on a host. */
export interface HostedCopy {
	/** Share of full speed, where the copy works by itself. */
	speed?: number;
	discard(): Promise<void>;
}

/** What a disk does while it is at fault: to writes, or (`corrupt`) to what is read. */
export type DiskFault = Extract<StoreErrorCode, "full" | "failed"> | "stall" | "corrupt";

/** Time of one access to a host's disk, in ms. */
const DISK_LATENCY_MS = 0.2;
/** Bytes per ms of a host's disk. */
const DISK_BYTES_PER_MS = 20_000;

/** See the head of this file. */
export class Host {
	readonly name: HostName;
	readonly clock: HostClock;
	readonly disk: HostDisk;
	readonly copies: HostedCopy[] = [];
	/** Resolves when the host crashes. */
	readonly crashed: Promise<"crashed">;
	#status: "up" | "frozen" | "crashed" = "up";
	#onCrash: (end: "crashed") => void = () => undefined;

	/** @param contents - what the disk holds: shared with the host that was there before. */
	constructor(name: HostName, world: EventClock, contents: Store, originMs: number) {
		this.name = name;
		this.clock = new HostClock(world, originMs);
		this.disk = new HostDisk(contents, this.clock, () => this.#status === "crashed");
		this.crashed = new Promise((resolve) => {
			this.#onCrash = resolve;
		});
	}

	get status(): "up" | "frozen" | "crashed" {
		return this.#status;
	}

	freeze(): void {
		if (this.#status !== "up") return;
		this.#status = "frozen";
		this.#setSpeed(0);
		this.clock.freeze();
	}

	thaw(): void {
		if (this.#status !== "frozen") return;
		this.#status = "up";
		this.#setSpeed(1);
		this.clock.thaw();
	}

	#setSpeed(share: number): void {
		for (const copy of this.copies) if ("speed" in copy) copy.speed = share;
	}

	crash(): void {
		if (this.#status === "crashed") return;
		this.#status = "crashed";
		this.clock.stop();
		for (const copy of this.copies) void copy.discard();
		this.#onCrash("crashed");
	}
}

const never = (): Promise<never> => new Promise(() => undefined);

/** A host's way to its disk: slow, sometimes at fault, and cut off when the host has crashed. */
export class HostDisk implements Store {
	/** Whether reads are at fault as writes are. */
	isReadToo = false;
	#fault: DiskFault | undefined;
	/** Writes that a stalled disk has not begun. */
	#stalled: (() => void)[] = [];
	readonly #contents: Store;
	readonly #clock: EventClock;
	readonly #isDead: () => boolean;

	constructor(contents: Store, clock: EventClock, isDead: () => boolean) {
		this.#contents = contents;
		this.#clock = clock;
		this.#isDead = isDead;
	}

	/** What becomes of writes from now on. A stalled disk goes on with what it was asked when that ends. */
	set fault(fault: DiskFault | undefined) {
		this.#fault = fault;
		if (fault !== "stall") for (const goOn of this.#stalled.splice(0)) goOn();
	}

	async put(name: string, bytes: Uint8Array): Promise<void> {
		await this.#write(bytes.byteLength);
		return this.#alive(this.#contents.put(name, bytes));
	}

	async compareAndSetReference(
		name: string,
		expected: Uint8Array | undefined,
		next: Uint8Array | undefined,
	): Promise<boolean> {
		await this.#write(64);
		return this.#alive(this.#contents.compareAndSetReference(name, expected, next));
	}

	async delete(name: string): Promise<void> {
		await this.#access(0);
		return this.#alive(this.#contents.delete(name));
	}

	async get(name: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
		const bytes = await this.#contents.get(name, range);
		await this.#access(bytes.byteLength);
		if (this.isReadToo) await this.#suffer();
		// One bit of each read.
		if (this.#fault === "corrupt" && bytes.byteLength > 0) bytes[Math.floor(bytes.byteLength / 3)]! ^= 4;
		return this.#alive(Promise.resolve(bytes));
	}

	list = (prefix: string): Promise<readonly string[]> => this.#alive(this.#contents.list(prefix));
	readReference = (name: string): Promise<Uint8Array<ArrayBuffer> | undefined> =>
		this.#alive(this.#contents.readReference(name));
	listReferences = (prefix: string): Promise<readonly string[]> => this.#alive(this.#contents.listReferences(prefix));

	async #write(byteLength: number): Promise<void> {
		await this.#access(byteLength);
		await this.#suffer();
	}

	async #suffer(): Promise<void> {
		while (this.#fault === "stall") await new Promise<void>((resolve) => this.#stalled.push(resolve));
		if (this.#fault === "full" || this.#fault === "failed")
			throw new StoreError(this.#fault, `the disk is ${this.#fault}`);
		if (this.#isDead()) await never();
	}

	async #access(byteLength: number): Promise<void> {
		if (this.#isDead()) await never();
		await this.#clock.sleep(DISK_LATENCY_MS + byteLength / DISK_BYTES_PER_MS);
	}

	#alive<T>(answer: Promise<T>): Promise<T> {
		return this.#isDead() ? never() : answer;
	}
}

/**
 * How a keeper of leases cannot be asked: it `refuses`; or no call settles, whether the question is never heard
 * (`unheard`), heard and done (`unanswered`), or heard and done when this is over (`late`).
 */
export type LeaseSilence = "refuses" | "unheard" | "unanswered" | "late";

/** A grant that nobody has heard of runs out after this, in ms. */
export const ORPHAN_MS = 100;

/** The keeper of the right to run, and who has it: for the referee. */
export class LeaseKeeper {
	readonly #lease: ManualLease;
	readonly #clock: EventClock;
	#silence: LeaseSilence | undefined;
	/** Questions that will be heard when the keeper is back. */
	#late: (() => void)[] = [];
	#holder: { readonly host: Host; readonly token: number } | undefined;

	constructor(lease: ManualLease, clock: EventClock) {
		this.#lease = lease;
		this.#clock = clock;
	}

	/** Whether it can be asked now, and how not. */
	set silence(silence: LeaseSilence | undefined) {
		this.#silence = silence;
		if (silence !== "late") for (const question of this.#late.splice(0)) question();
	}

	get holder(): Host | undefined {
		return this.#holder?.host;
	}

	/** The lease as a host sees it. */
	for(host: Host): Lease {
		return {
			acquire: () =>
				this.#ask(
					host,
					() => this.#acquire(host),
					(grant) => this.#orphan(grant),
				),
			renew: (grant) => this.#ask(host, () => this.#lease.renew(grant)),
			release: (grant) => this.#ask(host, () => this.#release(grant)),
		};
	}

	async #ask<T>(
		host: Host,
		question: () => Promise<T>,
		onUnanswered: (answer: T) => void = () => undefined,
	): Promise<T> {
		if (host.status === "crashed") return never();
		const unanswered = (): void => void question().then(onUnanswered);
		switch (this.#silence) {
			case undefined:
				return question();
			case "refuses":
				throw new LeaseError("unavailable", "the lease's keeper does not answer");
			case "late":
				this.#late.push(unanswered);
				return never();
			case "unanswered":
				unanswered();
				return never();
			case "unheard":
				return never();
		}
	}

	async #acquire(host: Host): Promise<LeaseGrant | undefined> {
		const grant = await this.#lease.acquire();
		if (grant !== undefined) this.#holder = { host, token: grant.token };
		return grant;
	}

	async #release(grant: LeaseGrant): Promise<void> {
		if (this.#holder?.token === grant.token) this.#holder = undefined;
		await this.#lease.release(grant);
	}

	/** Nobody knows that he holds this grant. */
	#orphan(grant: LeaseGrant | undefined): void {
		if (grant !== undefined) this.#clock.schedule(ORPHAN_MS, () => void this.#release(grant));
	}
}
