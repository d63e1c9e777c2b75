/**
 * A host: the process that runs a guest, takes one in, or moves one out, as the command tells it over the control
 * connection (messages.ts). That connection is its leash: when it ends, for whatever reason, so does the host.
 */

import { startWasmGuest } from "../guests/wasm/guest.ts";
import { supportsInstrumentation } from "../guests/wasm/module/page-map.ts";
import { MoveLedger, type SourceWord, type TargetWord } from "../handover/ledger.ts";
import { openLink } from "../links/open-link.ts";
import { hybrid } from "../migration/hybrid.ts";
import type { MoveProgress } from "../migration/metrics.ts";
import type { MoveOptions, MoveServices } from "../migration/move.ts";
import { postCopy } from "../migration/post-copy.ts";
import { preCopy } from "../migration/pre-copy.ts";
import { decideMove, type Resolution, resolveMove } from "../migration/resolve.ts";
import type { OwedPages, PostCopyResult } from "../migration/results.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";
import type { Platform } from "../ports/platform.ts";
import { HostError, reportFailure } from "./failure.ts";
import { LineStream } from "./line-stream.ts";
import type { AgainOrder, HostNews, HostOrder, HostOrders, MoveOrder, MoveReport, SettledReport } from "./messages.ts";
import { Reception } from "./reception.ts";
import { RequestServer } from "./request-server.ts";
import { Seat } from "./seat.ts";

/** Progress goes out this often at most, in ms, and at every change of phase. */
const PROGRESS_MS = 50;

/** What a host is started with. */
export interface HostConfig {
	readonly platform: Platform;
	readonly control: StreamAddress;
	/** Handed over by the command, and back to it as proof. */
	readonly token: string;
	readonly pid: number;
	/** Name and version, for people. */
	readonly runtime: string;
}

/** Runs a host until its leash ends; then nothing of it is left but the process. @throws {LinkError} without a command. */
export async function runHost(config: HostConfig): Promise<void> {
	const control: Control = new LineStream(await config.platform.connect(config.control));
	const host = new Host(config, control, new Seat());
	await host.run();
}

type Control = LineStream<HostNews, HostOrder>;

class Host {
	readonly #config: HostConfig;
	readonly #control: Control;
	readonly #seat: Seat;
	readonly #reception: Reception;
	readonly #targetLedger = new MoveLedger<TargetWord>("target");
	readonly #sourceLedger = new MoveLedger<SourceWord>("source");
	/** Pages that the target of a post-copy move still needs. */
	#owed: OwedPages | undefined;

	constructor(config: HostConfig, control: Control, seat: Seat) {
		this.#config = config;
		this.#control = control;
		this.#seat = seat;
		this.#reception = new Reception({
			platform: config.platform,
			seat,
			ledger: this.#targetLedger,
			report: (event) => this.#tell(event),
		});
	}

	async run(): Promise<void> {
		const { platform, token, pid, runtime } = this.#config;
		const server = await RequestServer.open(platform, this.#seat);
		try {
			const waitsForPages = supportsInstrumentation();
			await this.#control.send({ news: "hello", token, pid, runtime, waitsForPages, clients: server.address });
			for await (const order of this.#control.messages()) void this.#obey(order, server);
		} catch (error) {
			// A command that is killed does not close in order.
			if (!(error instanceof LinkError)) throw error;
		} finally {
			await this.#reception.close();
			await server.close();
			if (this.#seat.taken) await this.#seat.guest.discard();
		}
	}

	async #obey(message: HostOrder, server: RequestServer): Promise<void> {
		const { id } = message;
		try {
			this.#tell({ news: "reply", id, result: await this.#carryOut(message, server) });
		} catch (error) {
			this.#tell({ news: "refusal", id, failure: reportFailure(error) });
		}
	}

	#carryOut(message: HostOrder, server: RequestServer): Promise<HostOrders[keyof HostOrders]["result"]> {
		switch (message.name) {
			case "start":
				return this.#start(message.order.programUrl);
			case "call":
				return this.#seat.guest.call(message.order.request).then((response) => ({ response }));
			case "receive":
				return this.#reception.open(message.order).then((address) => ({ address }));
			case "prepare":
				return this.#timed(() => this.#seat.guest.prepare()).then((prepareMs) => ({ prepareMs }));
			case "move":
				return this.#move(message.order, server);
			case "resolve":
				return this.#resolve(message.order, server);
			case "recover":
				return this.#recover(message.order, server);
			case "revive":
				return this.#revive(message.order, server);
			case "decide":
				return this.#decide(message.order, server);
		}
	}

	async #start(programUrl: string): Promise<{ startMs: number }> {
		const { workers, clock } = this.#config.platform;
		const startMs = await this.#timed(async () => {
			const guest = await startWasmGuest({ workers, clock, programUrl, keepShadow: true });
			try {
				this.#seat.take(guest);
			} catch (error) {
				await guest.discard();
				throw error;
			}
		});
		return { startMs };
	}

	async #timed(work: () => Promise<void>): Promise<number> {
		const { clock } = this.#config.platform;
		const startedMs = clock.now();
		await work();
		return clock.now() - startedMs;
	}

	async #move(order: MoveOrder, server: RequestServer): Promise<MoveReport> {
		const { platform } = this.#config;
		const { guest } = this.#seat;
		const link = openLink(await platform.connect(order.target));
		const { clock, random } = platform;
		const services: MoveServices = { guest, link, clock, random, ledger: this.#sourceLedger };
		this.#seat.leaving(order.clients);
		return this.#moveReport(await this.#run(order, services, server), order.clients, server);
	}

	#moveReport(result: PostCopyResult, clients: StreamAddress, server: RequestServer): MoveReport {
		this.#owed = "paging" in result ? result.paging : undefined;
		this.#settle(result.outcome, clients, server);
		const { outcome, moveId, metrics } = result;
		const failure = outcome === "moved" ? undefined : reportFailure(result.error);
		const epoch = result.outcome === "revived" ? { epoch: result.epoch } : {};
		return { outcome, moveId, metrics, failure, recoverable: this.#owed !== undefined, ...epoch };
	}

	#run(order: MoveOrder, services: MoveServices, server: RequestServer): Promise<PostCopyResult> {
		const {
			technique,
			push,
			order: positions,
			checkpoints,
			verification,
			moveId,
			bandwidthBytesPerMs,
			deltaCachePages,
			downtimeLimitMs,
			deadlines,
		} = order;
		const tell = this.#throttledProgress();
		const options: MoveOptions = {
			verification,
			onProgress: (progress) => {
				// The guest answers there already; its clients need not wait for the pages.
				if (progress.phase === "paging") server.announce(order.clients);
				tell(progress);
			},
			...(moveId !== undefined && { moveId }),
			...(bandwidthBytesPerMs !== undefined && { bandwidthBytesPerMs }),
			...(deltaCachePages !== undefined && { deltaCachePages }),
			...(deadlines !== undefined && { deadlines }),
		};
		const pushed = {
			...options,
			...(push !== undefined && { push }),
			...(positions !== undefined && { order: positions }),
			...(checkpoints !== undefined && { checkpoints }),
		};
		if (technique === "stop-and-copy") return stopAndCopy(services, options);
		if (technique === "post-copy") return postCopy(services, pushed);
		if (technique === "hybrid") return hybrid(services, pushed);
		return preCopy(services, { ...options, ...(downtimeLimitMs !== undefined && { downtimeLimitMs }) });
	}

	/** @throws {HostError} `no-pages` when no post-copy move of this name waits for it */
	async #recover(order: AgainOrder, server: RequestServer): Promise<MoveReport> {
		const owed = this.#owed;
		if (owed?.moveId !== order.moveId)
			throw new HostError("no-pages", `the move '${order.moveId}' does not wait for another connection`);
		const link = openLink(await this.#config.platform.connect(order.target));
		return this.#moveReport(await owed.recover(link), order.clients, server);
	}

	/** @throws {HostError} `no-pages` when no post-copy move of this name waits */
	async #revive(order: HostOrders["revive"]["order"], server: RequestServer): Promise<MoveReport> {
		const owed = this.#owed;
		if (owed?.moveId !== order.moveId)
			throw new HostError("no-pages", `the move '${order.moveId}' has nothing to be revived`);
		return this.#moveReport(await owed.revive(), order.clients, server);
	}

	async #resolve(order: AgainOrder, server: RequestServer): Promise<SettledReport> {
		const { platform } = this.#config;
		const { guest } = this.#seat;
		const link = openLink(await platform.connect(order.target));
		const services = { guest, clock: platform.clock, ledger: this.#sourceLedger };
		return this.#settled(await resolveMove(services, link, order.moveId), order.clients, server);
	}

	async #decide(order: HostOrders["decide"]["order"], server: RequestServer): Promise<SettledReport> {
		const { guest } = this.#seat;
		const services = { guest, clock: this.#config.platform.clock, ledger: this.#sourceLedger };
		return this.#settled(await decideMove(services, order.moveId, order.owner), order.clients, server);
	}

	#settled(resolution: Resolution, clients: StreamAddress, server: RequestServer): SettledReport {
		this.#settle(resolution.outcome, clients, server);
		const failure = resolution.outcome === "unconfirmed" ? reportFailure(resolution.error) : undefined;
		return { outcome: resolution.outcome, failure };
	}

	/** Puts the seat and the clients in line with whom the guest belongs to. */
	#settle(outcome: PostCopyResult["outcome"], clients: StreamAddress, server: RequestServer): void {
		if (outcome === "kept" || outcome === "revived") this.#seat.stayed();
		if (outcome !== "moved") return;
		this.#seat.left(this.#seat.guest);
		server.announce(clients);
	}

	#throttledProgress(): (progress: MoveProgress) => void {
		const { clock } = this.#config.platform;
		let lastMs = Number.NEGATIVE_INFINITY;
		let lastPhase = "";
		return (progress) => {
			if (progress.phase === lastPhase && clock.now() - lastMs < PROGRESS_MS) return;
			lastMs = clock.now();
			lastPhase = progress.phase;
			this.#tell({ news: "progress", progress });
		};
	}

	#tell(news: HostNews): void {
		this.#control.send(news).catch((error: unknown) => this.#control.abort(error)); // no command, no host: see run()
	}
}
