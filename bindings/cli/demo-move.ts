/**
 * The demo's move: it is ordered, and whatever happens to its link, its source or its target, it is found out whom the guest
 * belongs to and the guest goes on there.
 *
 *   move ─▶ moved | kept ─▶ done
 *     ├── interrupted (pages are missing) ─▶ recover over another link … ─▶ the target is gone: revive, or lost
 *     ├── unconfirmed ─▶ ask the target ─▶ no answer: end it, and decide
 *     └── the source has died ─▶ the target runs, or has discarded
 */
import type { MoveMetrics } from "../migration/metrics.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { Clock } from "../ports/clock.ts";
import type { Display } from "./display.ts";
import type { HostProcess } from "./host-process.ts";
import { HostEndedError } from "./host-start.ts";
import type { AgainOrder, FailureReport, HostEvent, MoveReport } from "./messages.ts";
import type { NumberedClient } from "./numbered-client.ts";
import type { DemoOptions } from "./options.ts";

/** How long a target may take to notice that the source is dead, in ms. */
const NOTICE_MS = 40_000;
/** How often an interrupted post-copy move is taken up again. */
const RECOVERIES = 3;
/** Between two tries, in ms. */
const RECOVERY_MS = 200;

/** The guest runs at the target, and what it lacks does not come any more. */
class PagesLostError extends Error {
	override readonly name = "PagesLostError";
	readonly code = "pages-lost";
}

/** How a move ended, and where the guest is. */
export interface Settled {
	readonly outcome: MoveReport["outcome"];
	readonly failure: FailureReport | undefined;
	readonly metrics: MoveMetrics | undefined;
	/** Who has the guest now. */
	readonly home: HostProcess;
}

/** Who takes part. */
interface Parties {
	readonly source: HostProcess;
	readonly target: HostProcess;
	/** Where the target takes guests. */
	readonly door: StreamAddress;
	readonly client: NumberedClient;
}

/** See the head of this file. */
export class DemoMove {
	readonly #options: DemoOptions;
	readonly #services: { readonly display: Display; readonly clock: Clock };
	readonly #parties: Parties;

	constructor(options: DemoOptions, services: { readonly display: Display; readonly clock: Clock }, parties: Parties) {
		this.#options = options;
		this.#services = services;
		this.#parties = parties;
	}

	/** Moves the guest, and finds out whom it belongs to whatever happened. */
	async settle(): Promise<Settled> {
		const { source, target, door } = this.#parties;
		const { technique, push, order: positions, checkpoints, verification, bandwidthBytesPerMs } = this.#options;
		const { display } = this.#services;
		const received = reception(target);
		const silence = source.on((event) => {
			if (event.news === "progress") display.progress(event.progress);
		});
		const clients = target.hello.clients;
		const rate = {
			...(bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs }),
			...(push === undefined ? {} : { push }),
			...(positions === undefined ? {} : { order: positions }),
			...(checkpoints ? { checkpoints } : {}),
		};
		try {
			const order = { technique, target: door, clients, verification, ...rate };
			const first = await source.order("move", order);
			const report = await this.#recovered(first, { moveId: first.moveId, target: door, clients });
			if (report.outcome === "unconfirmed") return await this.#resolve(report);
			const { outcome, failure, metrics } = report;
			const isHere = outcome === "kept" || outcome === "revived";
			return { outcome, failure, metrics, home: isHere ? source : target };
		} catch (error) {
			if (!(error instanceof HostEndedError)) throw error;
			return await this.#withoutSource(error, received);
		} finally {
			silence();
			display.progressEnd();
		}
	}

	/** Takes a post-copy move up again whose link was lost. @throws {PagesLostError} when that does not help */
	async #recovered(first: MoveReport, again: AgainOrder): Promise<MoveReport> {
		const { source, target } = this.#parties;
		const { clock } = this.#services;
		let report = first;
		for (let tries = 0; report.recoverable && !target.gone && tries < RECOVERIES; tries++) {
			const { outcome, failure } = report;
			this.#services.display.step("move", `${outcome}: ${failure?.message ?? ""}; going on over another link`);
			// A connection that is refused is another try gone: a target that is ending is known to be gone by the next.
			const refused = await source.order("recover", again).then(
				(next) => {
					report = next;
				},
				(error: unknown) => error,
			);
			if (refused instanceof HostEndedError) throw refused;
			if (refused !== undefined) await clock.sleep(RECOVERY_MS);
		}
		if (report.outcome !== "interrupted") return report;
		if (this.#options.checkpoints && target.gone) return this.#revived(report);
		const why = target.gone ? (await target.ended).message : (report.failure?.message ?? "");
		throw new PagesLostError(
			`${why}, while pages were missing there: what the guest did at the target is lost; the source has it as it was at the switch`,
		);
	}

	/** The target has died: its process is our child, so the system's word that it is gone is certain. */
	async #revived(report: MoveReport): Promise<MoveReport> {
		const { source, target, client } = this.#parties;
		const { display } = this.#services;
		display.step("move", `interrupted: ${(await target.ended).message}; the source takes the guest back`);
		const revived = await source.order("revive", { moveId: report.moveId, clients: target.hello.clients });
		if (revived.outcome !== "revived") throw new PagesLostError(revived.failure?.message ?? "the source cannot go on");
		display.step("move", `revived from checkpoint ${revived.epoch}: what came after it was heard by nobody`);
		await client.follow(source.hello.clients);
		return revived;
	}

	/**
	 * *go* was sent and nobody confirmed it: the target is asked. If it does not answer it is ended, and then the guest may
	 * run on here: its process is our child, so the system's word that it is gone is certain.
	 */
	async #resolve(report: MoveReport): Promise<Settled> {
		const { source, target, door } = this.#parties;
		const { moveId, failure, metrics } = report;
		const { display } = this.#services;
		const clients = target.hello.clients;
		display.step("move", `unconfirmed: ${failure?.message ?? ""}`);
		if (!target.gone) {
			const settled = await source.order("resolve", { moveId, target: door, clients });
			if (settled.outcome !== "unconfirmed")
				return { outcome: settled.outcome, failure, metrics, home: settled.outcome === "moved" ? target : source };
			display.step("move", `${settled.failure?.message ?? "no answer"}; the target is ended`);
			await target.stop();
		}
		const { outcome } = await source.order("decide", { moveId, owner: "kept", clients });
		return { outcome, failure, metrics, home: source };
	}

	/** The source is dead. Its guest lives on only if the target had been told to run. */
	async #withoutSource(error: HostEndedError, received: Promise<Received>): Promise<Settled> {
		const { target, client } = this.#parties;
		const { clock } = this.#services;
		const discarded = { outcome: "discarded", lostPages: 0 } as const;
		const timer = new AbortController();
		const late = clock.sleep(NOTICE_MS, timer.signal).then(
			() => discarded,
			() => discarded,
		);
		const { outcome, lostPages } = await Promise.race([received, late, target.ended.then(() => discarded)]);
		timer.abort();
		if (lostPages > 0)
			throw new PagesLostError(`${error.message}: the guest runs at the target, and ${lostPages} pages of it are lost`);
		if (outcome === "discarded") {
			const message = `${error.message}, and its guest with it; the target had not been told to run and has discarded what it had`;
			throw new HostEndedError(message, error.errorText);
		}
		await client.follow(target.hello.clients);
		const failure = {
			code: error.code,
			phase: "confirm",
			message: `${error.message} after it had handed the guest over`,
		};
		return { outcome: "moved", failure, metrics: undefined, home: target };
	}
}

/** How a target took a guest in. */
interface Received {
	readonly outcome: "running" | "discarded";
	/** Pages that it lacks, when nobody sends them any more. */
	readonly lostPages: number;
}

/** What becomes of a guest that comes in, all of its pages included. */
function reception(target: HostProcess): Promise<Received> {
	return new Promise((resolve) => {
		target.on((event: HostEvent) => {
			if (event.news === "received" && event.outcome !== "answered" && !event.paging)
				resolve({ outcome: event.outcome, lostPages: 0 });
			if (event.news === "paged") resolve({ outcome: "running", lostPages: event.missingPages });
		});
	});
}
