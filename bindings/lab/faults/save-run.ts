/**
 * Saves under a fault schedule: a guest that works, three attempts to save it, and after each a look at what is visible. At
 * the end, when nothing goes wrong any more, one more snapshot must come about, and every visible one is restored and compared.
 *
 *   attempt ─▶ saved      visible, and what the guest was at its pause; the guest runs on
 *           ─▶ failed     the guest runs on, nothing of it is visible
 *           ─▶ unknown    (`unconfirmed`, or a host crashed) visible or not; if it is, it is whole
 */
import type { ConvergencePolicy } from "../../policies/convergence.ts";
import { type History, startHistory } from "../../snapshot/history.ts";
import { keepSnapshots } from "../../snapshot/keeper.ts";
import { restore } from "../../snapshot/restore.ts";
import { save } from "../../snapshot/save.ts";
import { SaveError } from "../../snapshot/save-error.ts";
import type { SaveProgress } from "../../snapshot/save-metrics.ts";
import { saveTo } from "../../snapshot/save-to.ts";
import { SnapshotSeries } from "../../snapshot/series.ts";
import { type SnapshotReader, SnapshotStore } from "../../snapshot/store.ts";
import type { FaultRun } from "./findings.ts";
import {
	type ByteGuests,
	type FaultBench,
	SaveGuest,
	type Signature,
	signatureOf,
	signatureText,
} from "./save-guest.ts";
import { type FaultSchedule, MAXIMUM_PAGES, PAGES } from "./schedule.ts";
import { type Tampering, TwoHosts } from "./two-hosts.ts";
import { faultPrograms } from "./workloads.ts";

/** Short, so that a run is a few hundred ms of virtual time. */
const DEADLINES = { beginMs: 400, turnMs: 400, pauseMs: 400, stateMs: 400, stallMs: 300, commitMs: 400 };
const KEEPER_IDLE_MS = 600;
const ATTEMPTS = 3;
/** A cap, so that the guest writes while a round runs. */
const CAP_BYTES_PER_MS = 8000;
const HISTORY_EVERY_MS = 25;
const HISTORY_MS = 120;
const HISTORY_KEEPS = 3;
/** Whatever still waits for a deadline has passed it. */
const QUIET_MS = 12_000;

/** How an attempt ended. */
type Attempt = { readonly id: string } | { readonly error: SaveError } | "crashed" | "many";

/** See the head of this file. Never rejects for what the schedule does. */
export function runSaveSchedule(
	bench: FaultBench,
	schedule: FaultSchedule,
	tampering: Tampering = {},
): Promise<FaultRun> {
	return new SaveRun(new TwoHosts(bench.real, schedule, tampering, () => undefined), bench.guests).run();
}

class SaveRun {
	readonly #hosts: TwoHosts;
	readonly #guests: ByteGuests;
	readonly #path: string[] = [];
	readonly #guest: SaveGuest;
	readonly #store: SnapshotStore;
	/** What was acknowledged, and must be visible. */
	readonly #saved = new Map<string, Signature>();
	/** What may be visible although nobody has said so. */
	readonly #unknown = new Set<string>();
	/** What a history has deleted, or could not. */
	readonly #deleted = new Map<string, Signature>();
	/** What the history under way keeps, the oldest first. */
	readonly #kept: string[] = [];
	#mayAppear = false;
	#series: SnapshotSeries | undefined;
	#visible: SnapshotStore | undefined;
	#rounds = 0;
	#last = "";

	constructor(hosts: TwoHosts, guests: ByteGuests) {
		this.#hosts = hosts;
		this.#guests = guests;
		const { source, clock, random, findings } = hosts;
		const fresh = guests.create(PAGES, MAXIMUM_PAGES, () => source.clock.now());
		this.#guest = new SaveGuest(fresh, source, findings);
		hosts.tampering.guest?.(this.#guest.guest, source, hosts);
		this.#store = new SnapshotStore(source.disk, { clock: source.clock, random });
		if (hosts.schedule.workload === "growing")
			clock.schedule(10 + (hosts.schedule.seed % 40), () => {
				if (this.#guest.guest.running && source.status === "up") this.#guest.guest.growMemory(PAGES + 5);
			});
	}

	async run(): Promise<FaultRun> {
		const { findings, clock, schedule, random, source } = this.#hosts;
		try {
			await clock.run(async () => {
				const work = this.#guest.work(faultPrograms(schedule.workload, PAGES, random), source);
				work.catch((error: unknown) => findings.failed(error));
				try {
					await this.#main();
				} finally {
					this.#guest.stop();
				}
			});
		} catch (error) {
			findings.failed(error);
		}
		const { violations, trace } = findings;
		return { path: this.#path.join(" "), violations, trace, rounds: this.#rounds };
	}

	async #main(): Promise<void> {
		const { source, schedule, clock } = this.#hosts;
		if (!["save-to", "history"].includes(schedule.technique)) this.#series = await SnapshotSeries.open(this.#services);
		// An increment has more that can go wrong than a first snapshot.
		if (schedule.variant % 2 === 0 && this.#series !== undefined) await this.#judge(await this.#take());
		for (let i = 0; i < ATTEMPTS && source.status !== "crashed"; i++) {
			await clock.sleep(this.#hosts.random.nextU32() % 20);
			if (schedule.technique !== "save-to") this.#hosts.arm();
			const attempt = schedule.technique === "history" ? this.#history() : this.#take();
			await this.#judge(await Promise.race([attempt, source.crashed]));
		}
		this.#hosts.ceaseFaults();
		if (source.status === "crashed") this.#mayAppear = true;
		else await this.#once();
		await this.#quiet();
		await this.#lookAtVisible();
		await this.#compareAll();
	}

	get #services() {
		const { source } = this.#hosts;
		return { guest: this.#guest.guest, store: this.#store, clock: source.clock };
	}

	get #options() {
		const { schedule, signal, findings } = this.#hosts;
		return {
			...{ deadlines: DEADLINES, signal, verification: schedule.verification, bandwidthBytesPerMs: CAP_BYTES_PER_MS },
			compression: () => schedule.variant >= 2,
			onProgress: ({ phase, fraction, round }: SaveProgress) => {
				findings.progress(fraction);
				this.#rounds = Math.max(this.#rounds, round);
				if (phase === this.#last) return;
				this.#last = phase;
				findings.note(phase);
				this.#hosts.entered(phase);
			},
		};
	}

	/** One attempt, by the schedule's technique. */
	async #take(): Promise<Attempt> {
		const { technique } = this.#hosts.schedule;
		this.#hosts.findings.restartProgress();
		this.#last = "";
		try {
			const convergence: ConvergencePolicy = ({ rounds }) => (rounds.length >= 3 ? "iterations" : undefined);
			if (technique === "save-to") return await this.#takeTo(convergence);
			const series = this.#series!;
			const options = this.#options;
			const { snapshot } =
				technique === "save"
					? await series.save(options)
					: technique === "live-save"
						? await series.liveSave({ ...options, convergence })
						: await series.improvedLiveSave(options);
			return { id: snapshot.id };
		} catch (error) {
			if (error instanceof SaveError) return { error };
			throw error;
		}
	}

	/** To the target's host, where a keeper writes it. */
	async #takeTo(convergence: ConvergencePolicy): Promise<Attempt> {
		const { random, schedule } = this.#hosts;
		this.#hosts.restartTarget();
		const { target, source } = this.#hosts;
		const [link, far] = this.#hosts.connect();
		const store = new SnapshotStore(target.disk, { clock: target.clock, random });
		const keeping = keepSnapshots({ link: far, store, clock: target.clock }, { idleMs: KEEPER_IDLE_MS });
		keeping.catch((error: unknown) => this.#hosts.findings.failed(error));
		const technique = (["save", "live-save", "improved-live-save", "live-save"] as const)[schedule.variant]!;
		const services = { guest: this.#guest.guest, link, clock: source.clock };
		const { snapshot } = await saveTo(services, {
			...this.#options,
			technique,
			...(technique === "live-save" ? { convergence } : {}),
		});
		return { id: snapshot.id };
	}

	/** A history for a while. */
	async #history(): Promise<Attempt> {
		const { findings, clock } = this.#hosts;
		const { signal, deadlines, verification, bandwidthBytesPerMs, compression } = this.#options;
		const kept = this.#kept;
		kept.length = 0;
		let history: History | undefined;
		// A history whose disk refuses a deletion says so, and makes up for it after its next snapshot.
		let refused = false;
		let late = 0;
		try {
			history = await startHistory(this.#services, {
				...{ signal, deadlines, verification, bandwidthBytesPerMs, compression },
				...{ everyMs: HISTORY_EVERY_MS, keep: { count: HISTORY_KEEPS } },
				onSnapshot: ({ snapshot }) => {
					this.#hosts.entered("commit");
					late = refused ? late + 1 : 0;
					refused = false;
					this.#saved.set(snapshot.id, this.#guest.pauses.at(-1)!);
					findings.note(`saved ${snapshot.id}`);
					kept.push(snapshot.id);
					// The bounds hold by now: what is beyond them was deleted.
					if (kept.length > HISTORY_KEEPS) this.#forget(kept.shift()!);
				},
				onFailure: (error) => {
					if (error.phase === undefined) refused = true;
					findings.note(`${error.phase ?? "after the save"}: ${error.code}: ${error.message}`);
				},
			});
			await clock.sleep(HISTORY_MS);
			await history.stop();
		} catch (error) {
			if (error instanceof SaveError) return { error };
			throw error;
		}
		if (history.entries.length > HISTORY_KEEPS + late)
			findings.violation(`${history.entries.length} snapshots are kept`);
		this.#mayAppear = true; // a snapshot that the stop has called off may be there
		return "many";
	}

	/** A history has deleted it, or could not. */
	#forget(id: string): void {
		this.#deleted.set(id, this.#saved.get(id)!);
		this.#saved.delete(id);
		this.#unknown.add(id);
	}

	async #judge(attempt: Attempt): Promise<void> {
		const { findings, source, target } = this.#hosts;
		if (attempt === "crashed" || attempt === "many") {
			this.#path.push(attempt);
			this.#mayAppear = true;
			// It may have crashed between a snapshot, for which the oldest had to go, and the word about it.
			if (attempt === "crashed" && this.#kept.length === HISTORY_KEEPS) this.#forget(this.#kept.shift()!);
		} else if ("id" in attempt) {
			this.#path.push("saved");
			this.#saved.set(attempt.id, this.#guest.pauses.at(-1)!);
			findings.note(`saved ${attempt.id}`);
		} else {
			const { code, phase, message } = attempt.error;
			this.#path.push(code);
			findings.note(`not saved: ${code} in ${phase}: ${message}`);
			if (code === "unconfirmed" || target.status === "crashed") this.#mayAppear = true;
		}
		if (source.status !== "crashed" && !this.#guest.guest.running && !(await this.#runsOnSoon()))
			findings.violation(`the guest does not run on after '${this.#path.at(-1)}'`);
		if (this.#hosts.schedule.technique !== "save-to") await this.#lookAtVisible();
	}

	/** A save that failed may still wait for its pause to end it, in the same instant. */
	async #runsOnSoon(): Promise<boolean> {
		await this.#hosts.clock.sleep(DEADLINES.pauseMs);
		return this.#guest.guest.running;
	}

	async #quiet(): Promise<void> {
		this.#guest.rest(true);
		await this.#hosts.clock.sleep(QUIET_MS);
		this.#guest.rest(false);
	}

	/** The store as another process finds it, without waiting for a disk. */
	#visibleStore(): SnapshotStore {
		const { contents, clock, random, schedule } = this.#hosts;
		this.#visible ??= new SnapshotStore(contents[schedule.technique === "save-to" ? "target" : "source"], {
			clock,
			random,
		});
		return this.#visible;
	}

	async #lookAtVisible(): Promise<void> {
		const { findings } = this.#hosts;
		const visible = new Set((await this.#visibleStore().list()).map(({ id }) => id));
		for (const id of this.#saved.keys())
			if (!visible.has(id)) findings.violation(`${id} was acknowledged and is not visible`);
		for (const id of visible) {
			if (this.#saved.has(id) || this.#unknown.has(id)) continue;
			if (!this.#mayAppear) findings.violation(`${id} is visible, after '${this.#path.join(" ")}'`);
			this.#unknown.add(id);
		}
	}

	/**
	 * Every visible snapshot is whole: what was acknowledged is what the guest was then, anything else is some pause of it. Each
	 * is read to the last byte; the newest is restored as well.
	 */
	async #compareAll(): Promise<void> {
		const { findings } = this.#hosts;
		const store = this.#visibleStore();
		const ids = (await store.list()).map(({ id }) => id);
		for (const id of ids)
			try {
				const snapshot = await store.open(id);
				await store.verify(id);
				const hashes = snapshot.hashes().rangeBytes(0, snapshot.layout.pageCount);
				const found = signatureText(hashes, snapshot.state());
				const expected = this.#saved.get(id) ?? this.#deleted.get(id);
				if (expected === undefined ? !this.#guest.pauses.includes(found) : expected !== found)
					findings.violation(`${id} is not what the guest was at its pause`);
				if (id === ids.at(-1)) await this.#restore(snapshot, found);
			} catch (error) {
				findings.violation(`${id} is visible and cannot be restored: ${String(error)}`);
			}
	}

	async #restore(snapshot: SnapshotReader, expected: Signature): Promise<void> {
		const { clock, random, findings } = this.#hosts;
		const factories = [this.#guests.factory(clock, MAXIMUM_PAGES)];
		const policy = { clock: "jump", random: "reseed", stayPaused: true } as const;
		const { guest } = await restore({ snapshot, factories, clock, random }, policy);
		if (!this.#guests.is(guest)) throw new TypeError("restored: another kind of guest");
		if ((await signatureOf(guest)) !== expected) findings.violation("the restored guest is not what the snapshot says");
		await guest.discard();
	}

	/** When nothing goes wrong any more a snapshot comes about, and has what failed ones would have had. */
	async #once(): Promise<void> {
		const { findings, schedule } = this.#hosts;
		// What an earlier attempt has left under way ends by its own deadlines.
		await this.#quiet();
		await this.#lookAtVisible();
		if (schedule.technique === "history") {
			const { snapshot } = await save(this.#services, { deadlines: DEADLINES });
			this.#saved.set(snapshot.id, this.#guest.pauses.at(-1)!);
			return;
		}
		this.#hosts.skipFaults();
		this.#hosts.arm();
		const attempt = await this.#take();
		await this.#judge(attempt);
		if (typeof attempt === "string" || "error" in attempt)
			findings.violation(`nothing goes wrong any more, and yet: ${this.#path.at(-1)}`);
	}
}
