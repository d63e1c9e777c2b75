/**
 * Restores under a fault schedule: a snapshot is made of a guest, and brought to life again while its disk fails, its caller
 * cancels and its host stops or crashes. At the end, when nothing goes wrong any more, a restore succeeds.
 *
 *   attempt ─▶ restored  what the guest was at its pause; it works on, and finds what it writes
 *           ─▶ failed    nothing runs, and nothing is left of the copy
 *           ─▶ waiting   (lazy) the guest waits where it touches what could not be read; loading goes on later
 */
import { activePush, demandPaging, type PushOrder, prepaging } from "../../policies/push-order.ts";
import type { Guest, GuestFactory } from "../../ports/guest.ts";
import { SnapshotError } from "../../snapshot/image-error.ts";
import { lazyRestore } from "../../snapshot/lazy-restore.ts";
import { restore } from "../../snapshot/restore.ts";
import { RestoreError } from "../../snapshot/restore-error.ts";
import { save } from "../../snapshot/save.ts";
import { SnapshotStore } from "../../snapshot/store.ts";
import type { FaultRun } from "./findings.ts";
import { type ByteGuests, type FaultBench, SaveGuest, type Signature, signatureOf } from "./save-guest.ts";
import { type FaultSchedule, MAXIMUM_PAGES, PAGES } from "./schedule.ts";
import { type Tampering, TwoHosts } from "./two-hosts.ts";
import { faultPrograms } from "./workloads.ts";

const DEADLINE_MS = 400;
const ATTEMPTS = 3;
/** A restored guest works so long before it is looked at. */
const WORK_MS = 60;
/** How often loading is taken up again before it counts as stuck; the last times nothing goes wrong. */
const LOADS = 4;
const POLICY = { clock: "jump", random: "reseed" } as const;
const ORDERS: readonly PushOrder[] = [activePush(), prepaging(), prepaging({ pivots: 2 }), demandPaging(20)];

/** See the head of this file. Never rejects for what the schedule does. */
export function runRestoreSchedule(
	bench: FaultBench,
	schedule: FaultSchedule,
	tampering: Tampering = {},
): Promise<FaultRun> {
	return new RestoreRun(new TwoHosts(bench.real, schedule, tampering, () => undefined), bench.guests).run();
}

class RestoreRun {
	readonly #hosts: TwoHosts;
	readonly #guests: ByteGuests;
	readonly #path: string[] = [];
	readonly #original: SaveGuest;
	#snapshotId = "";
	/** What the snapshot holds. */
	#signature: Signature = "";
	#words: Uint32Array<ArrayBuffer> = new Uint32Array(MAXIMUM_PAGES);
	/** Every copy that the factory has made. */
	readonly #copies: Guest[] = [];

	constructor(hosts: TwoHosts, guests: ByteGuests) {
		this.#hosts = hosts;
		this.#guests = guests;
		const fresh = guests.create(PAGES, MAXIMUM_PAGES, () => hosts.source.clock.now());
		this.#original = new SaveGuest(fresh, hosts.source, hosts.findings);
	}

	async run(): Promise<FaultRun> {
		const { findings, clock } = this.#hosts;
		try {
			await clock.run(() => this.#main());
		} catch (error) {
			findings.failed(error);
		}
		const { violations, trace } = findings;
		return { path: this.#path.join(" "), violations, trace, rounds: 0 };
	}

	async #main(): Promise<void> {
		await this.#saveOriginal();
		for (let i = 0; i < ATTEMPTS; i++) {
			this.#hosts.restartSource();
			const { source } = this.#hosts;
			source.disk.isReadToo = true;
			if (i === ATTEMPTS - 1) this.#hosts.skipFaults();
			this.#hosts.arm();
			const end = await Promise.race([this.#attempt(), source.crashed]);
			this.#path.push(end);
			this.#hosts.findings.note(`attempt ${i + 1}: ${end}`);
			if (i === ATTEMPTS - 1 && end !== "restored")
				this.#hosts.findings.violation(`nothing goes wrong any more, and yet: ${end}`);
			await this.#giveUpCopies(end);
		}
		this.#hosts.ceaseFaults();
	}

	async #saveOriginal(): Promise<void> {
		const { source, random, clock, schedule } = this.#hosts;
		const { guest } = this.#original;
		const work = this.#original.work(faultPrograms(schedule.workload, PAGES, random), source);
		await clock.sleep(20);
		this.#original.stop();
		await work;
		const store = new SnapshotStore(source.disk, { clock: source.clock, random });
		const { snapshot } = await save({ guest, store, clock: source.clock }, { stayPaused: true });
		this.#snapshotId = snapshot.id;
		this.#signature = this.#original.pauses.at(-1)!;
		this.#words = this.#original.words;
		await guest.discard();
	}

	async #attempt(): Promise<"restored" | RestoreError["code"] | "store-unread"> {
		const { source, random, schedule, findings } = this.#hosts;
		const { clock, disk } = source;
		try {
			const store = new SnapshotStore(disk, { clock, random });
			const snapshot = await store.open(this.#snapshotId);
			const services = { snapshot, factories: [this.#factory()], clock, random };
			const options = { ...POLICY, signal: this.#hosts.signal, deadlineMs: DEADLINE_MS };
			if (schedule.technique === "lazy-restore") return await this.#lazily(services, options);
			findings.restartProgress();
			const { guest } = await restore(services, {
				...{ ...options, stayPaused: true },
				onProgress: ({ phase, fraction }) => {
					findings.progress(fraction);
					this.#hosts.entered(phase);
				},
			});
			await this.#examine(guest);
			return "restored";
		} catch (error) {
			if (error instanceof RestoreError) return error.code;
			if (error instanceof SnapshotError) return "store-unread";
			throw error;
		}
	}

	/** A guest that was restored in full is what was saved, and works on. */
	async #examine(guest: Guest): Promise<void> {
		const { source, findings, schedule, random } = this.#hosts;
		if (!this.#guests.is(guest)) throw new TypeError("restored: another kind of guest");
		if ((await signatureOf(guest)) !== this.#signature) findings.violation("the restored guest is not what was saved");
		const copy = new SaveGuest(guest, source, findings, this.#words);
		await guest.resume();
		const work = copy.work(faultPrograms(schedule.workload, PAGES, random), source);
		await source.clock.sleep(WORK_MS);
		copy.stop();
		await work;
		copy.compare("after the restore");
	}

	async #lazily(
		services: Parameters<typeof lazyRestore>[0],
		options: Parameters<typeof lazyRestore>[1],
	): Promise<"restored"> {
		const { source, findings, schedule, random, clock } = this.#hosts;
		this.#hosts.entered("set-up");
		const { guest, pages, done } = await lazyRestore(services, { ...options, prefetch: ORDERS[schedule.variant]! });
		if (!this.#guests.is(guest)) throw new TypeError("restored: another kind of guest");
		this.#hosts.entered("pages");
		const copy = new SaveGuest(guest, source, findings, this.#words);
		const work = copy.work(faultPrograms(schedule.workload, PAGES, random), source);
		work.catch((error: unknown) => findings.failed(error));
		let loading: Promise<unknown> = done;
		for (let i = 0; ; i++) {
			const failure = await loading.then(
				() => undefined,
				(error: unknown) => error,
			);
			if (failure === undefined) break;
			if (!(failure instanceof RestoreError)) throw failure;
			this.#path.push(`waits (${failure.code})`);
			findings.note(`loading: ${failure.code}: ${failure.message}`);
			if (i >= LOADS) {
				findings.violation(`pages cannot be loaded although nothing goes wrong any more: ${failure.message}`);
				break;
			}
			await clock.sleep(50);
			if (i >= LOADS - 2) this.#hosts.ceaseFaults();
			loading = pages.load();
		}
		await source.clock.sleep(WORK_MS);
		copy.stop();
		await work;
		copy.compare("when every page has come");
		return "restored";
	}

	#factory(): GuestFactory {
		const { source } = this.#hosts;
		const factory = this.#guests.factory(source.clock, MAXIMUM_PAGES);
		const setUp = factory.setUp.bind(factory);
		factory.setUp = async (...how) => {
			const prepared = await setUp(...how);
			this.#copies.push(prepared.guest);
			this.#hosts.tampering.guest?.(prepared.guest, source, this.#hosts);
			return prepared;
		};
		return factory;
	}

	/** After a failure nothing may be left: no copy that runs, nor one that is there. */
	async #giveUpCopies(end: string): Promise<void> {
		const { findings } = this.#hosts;
		for (const copy of this.#copies.splice(0)) {
			const isThere = await copy.pause({ deadlineMs: DEADLINE_MS }).then(
				() => true,
				() => false,
			);
			if (isThere && end !== "restored" && end !== "crashed") findings.violation(`after '${end}' a copy is left`);
			await copy.discard();
		}
	}
}
