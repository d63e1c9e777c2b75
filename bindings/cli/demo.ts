/**
 * The demo: three processes. This one is the client and the command; it starts a source and a target (host.ts), lets a
 * program work in the source, has it moved to the target while the client goes on, and checks every answer.
 *
 *   start hosts ─▶ start guest ─▶ client works ─▶ move ─▶ settle ─▶ client works on ─▶ repeat some ─▶ compare
 *
 * Whatever happens, no process, socket or file is left behind; see {@link Demo.end}.
 */
import type { MoveMetrics } from "../migration/metrics.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import { type ClientFigures, clientFigures } from "./client-figures.ts";
import { DemoMove, type Settled } from "./demo-move.ts";
import type { Display } from "./display.ts";
import { hostCommand, programUrl } from "./executables.ts";
import { HostProcess } from "./host-process.ts";
import type { FailureReport, MoveReport } from "./messages.ts";
import { NumberedClient } from "./numbered-client.ts";
import { type DemoOptions, pagesFollow } from "./options.ts";
import { type Check, compareRuns, DIGEST_REQUEST, howVerified, undisturbedRun } from "./verdict.ts";

/** Without an answer for so long the client gives up, in ms: longer than any deadline of a move. */
const SILENCE_MS = 90_000;
const WATCH_MS = 500;
/** Answered numbers that are sent once more after the move, on purpose. */
const REPEATS = 16;

/** What the demo works with. */
export interface DemoServices {
	readonly platform: Platform;
	/** Where the built entries lie. */
	readonly dist: URL;
	readonly display: Display;
	readonly signal: AbortSignal;
	/** Where the target listens for `--link unix`. */
	readonly socketPath: string;
}

/** How the demo went. */
export interface DemoResult {
	readonly outcome: MoveReport["outcome"];
	/** Why it is not `moved`. */
	readonly failure: FailureReport | undefined;
	/** What a host said on standard error before it ended on its own. */
	readonly lastWords: readonly { readonly role: string; readonly message: string; readonly errorText: string }[];
	/** Complete after a move, partial after a failure; none if the source died. */
	readonly metrics: MoveMetrics | undefined;
	/** Allocating and touching what the move needed at the source, in ms. */
	readonly prepareMs: number;
	readonly client: ClientFigures & {
		readonly resent: number;
		readonly repeated: number;
		readonly repeatedEqual: number;
	};
	readonly checks: readonly Check[];
	readonly verified: boolean;
}

/** The client got no answers any more. */
class SilenceError extends Error {
	override readonly name = "SilenceError";
	readonly code = "silence";
}

/** The target of a post-copy move cannot wait for pages: nothing has been started. */
class CannotWaitError extends Error {
	override readonly name = "CannotWaitError";
	readonly code = "refused";
}

/** Runs the demo. @throws {HostEndedError}, {CannotWaitError}, {PagesLostError}, {HostRefusal}, {MissingError}, {SilenceError}, the signal's reason */
export async function runDemo(options: DemoOptions, services: DemoServices): Promise<DemoResult> {
	const demo = new Demo(options, services);
	try {
		return await demo.run();
	} finally {
		await demo.end();
	}
}

class Demo {
	readonly #options: DemoOptions;
	readonly #services: DemoServices;
	readonly #client: NumberedClient;
	readonly #hosts: HostProcess[] = [];
	/** Ends what would wait on: an answer that is given up is not waited for. */
	readonly #over: AbortController = new AbortController();

	constructor(options: DemoOptions, services: DemoServices) {
		this.#options = options;
		this.#services = services;
		const { program, load } = options;
		this.#client = new NumberedClient({
			platform: services.platform,
			request: program.request,
			requestsPerSecond: load,
		});
	}

	async run(): Promise<DemoResult> {
		const { program, requests } = this.#options;
		const { dist, platform, display, signal } = this.#services;
		const { clock } = platform;
		const url = programUrl(program, dist);
		const [source, target] = await this.#startHosts();
		const { door, prepareMs } = await this.#alive(this.#setUp(source, target, url), source, target);
		await this.#client.start(source.hello.clients);
		const half = Math.floor(requests / 2);
		await this.#alive(this.#answering(this.#client.untilAnswered(half)), source, target);
		display.step("client", `${half} requests answered; moving while it goes on`);
		const startMs = clock.now();
		const settled = await this.#alive(this.#moveGuest(source, target, door));
		const endMs = clock.now();
		await this.#alive(this.#answering(this.#client.finish(requests - half)), settled.home);
		const repeated = this.#numbersBefore(startMs);
		await this.#alive(this.#answering(this.#client.repeat(repeated)), settled.home);
		const { response } = await this.#alive(settled.home.order("call", { request: DIGEST_REQUEST }), settled.home);
		const lastWords = await this.#lastWords();
		await this.end();
		display.step("check", `${this.#client.sent} requests once more, on a guest that nobody moves`);
		const undisturbed = await undisturbedRun(platform, { url, workload: program }, this.#client.sent, signal);
		const run = { answers: this.#client.answers, stateDigest: String(response) };
		const checks = [
			this.#moveCheck(settled),
			...compareRuns(run, undisturbed, this.#client.sent),
			this.#onceCheck(repeated.length),
		];
		return {
			...{ outcome: settled.outcome, failure: settled.failure, metrics: settled.metrics, lastWords, prepareMs },
			client: {
				...clientFigures(this.#client.answeredAtMs, { startMs, endMs }),
				resent: this.#client.resent,
				repeated: repeated.length,
				repeatedEqual: this.#client.repeatedAnswers,
			},
			checks,
			verified: checks.every(({ ok }) => ok),
		};
	}

	/** Nothing of the demo is left afterwards. Safe to call twice. */
	async end(): Promise<void> {
		this.#over.abort();
		this.#client.stop();
		await Promise.all(this.#hosts.splice(0).map((host) => host.stop()));
	}

	/** Both, or the first failure once neither is on its way any more. */
	async #startHosts(): Promise<[source: HostProcess, target: HostProcess]> {
		const [source, target] = await Promise.allSettled([this.#startHost("source"), this.#startHost("target")]);
		if (source.status === "rejected") throw source.reason;
		if (target.status === "rejected") throw target.reason;
		const { technique, to } = this.#options;
		if (pagesFollow(technique) && !target.value.hello.waitsForPages)
			throw new CannotWaitError(
				`${technique} refused: the target, ${target.value.hello.runtime}, has no second WebAssembly memory, in which a guest's missing pages are looked up: ` +
					`${to === "node" ? "run this with Node 22 or later, or use --to deno" : "use --to node with Node 22 or later"}, or use --technique pre-copy`,
			);
		return [source.value, target.value];
	}

	async #startHost(role: "source" | "target"): Promise<HostProcess> {
		const { platform, dist, signal, display } = this.#services;
		const runtime = role === "source" ? this.#options.from : this.#options.to;
		const host = await HostProcess.start({ platform, role, command: hostCommand(runtime, dist), signal });
		this.#hosts.push(host);
		display.step(role, `${host.hello.runtime}, process ${host.pid}`);
		return host;
	}

	/** @returns where the target takes guests, and what preparing the source took */
	async #setUp(
		source: HostProcess,
		target: HostProcess,
		url: string,
	): Promise<{ readonly door: StreamAddress; readonly prepareMs: number }> {
		const { program, memoryMiB, link } = this.#options;
		const at: StreamAddress =
			link === "unix"
				? { transport: "unix", path: this.#services.socketPath }
				: { transport: "tcp", host: "127.0.0.1", port: 0 };
		const receiving = target.order("receive", { at, programUrls: [url] });
		receiving.catch(() => undefined); // awaited below; the source may fail first
		await source.order("start", { programUrl: url });
		if (memoryMiB > 0) await source.order("call", { request: { ballastMiB: memoryMiB } });
		const { prepareMs } = await source.order("prepare", {});
		const { address } = await receiving;
		const ballast = memoryMiB > 0 ? ` with ${memoryMiB} MiB of ballast` : "";
		this.#services.display.step("guest", `${program.title}${ballast}`);
		return { door: address, prepareMs };
	}

	#moveGuest(source: HostProcess, target: HostProcess, door: StreamAddress): Promise<Settled> {
		const { display, platform } = this.#services;
		const parties = { source, target, door, client: this.#client };
		return new DemoMove(this.#options, { display, clock: platform.clock }, parties).settle();
	}

	/** The last numbers that the source answered. */
	#numbersBefore(startMs: number): number[] {
		const answered = this.#client.answeredAtMs.findIndex((at) => at >= startMs);
		const last = answered < 0 ? this.#client.answered : answered;
		return Array.from({ length: Math.min(REPEATS, last) }, (_, index) => last - index).reverse();
	}

	#moveCheck({ outcome, failure, metrics }: Settled): Check {
		const how = metrics === undefined ? "its figures are gone with the source" : howVerified(metrics);
		const ok = outcome === "moved";
		return { name: "move", ok, detail: ok ? how : `${outcome}: ${failure?.message ?? "for no reason given"}` };
	}

	#onceCheck(repeated: number): Check {
		const { contradictions, repeatedAnswers } = this.#client;
		const [first] = contradictions;
		const detail =
			first === undefined
				? `${repeatedAnswers} of ${repeated} numbers sent twice were answered from the guest's memory`
				: `number ${first.number} was answered ${first.first}, then ${first.second}`;
		return { name: "exactly once", ok: first === undefined && repeatedAnswers === repeated, detail };
	}

	async #lastWords(): Promise<DemoResult["lastWords"]> {
		const gone = this.#hosts.filter((host) => host.gone);
		const ends = gone.map(async (host) => ({ role: host.role, end: await host.ended }));
		return (await Promise.all(ends)).map(({ role, end }) => ({ role, message: end.message, errorText: end.errorText }));
	}

	/** The result of `work`, unless one of these hosts ends first or the caller gives up. */
	async #alive<T>(work: Promise<T>, ...hosts: readonly HostProcess[]): Promise<T> {
		const { signal } = this.#services;
		let giveUp: () => void = () => undefined;
		const interrupted = new Promise<never>((_, reject) => {
			giveUp = () => reject(signal.reason);
			if (signal.aborted) giveUp();
			else signal.addEventListener("abort", giveUp, { once: true });
		});
		const ends = hosts.map(({ ended }) =>
			ended.then((error) => {
				throw error;
			}),
		);
		for (const loser of [work, interrupted, ...ends]) loser.catch(() => undefined); // the race has the first word
		try {
			return await Promise.race([work, interrupted, ...ends]);
		} finally {
			signal.removeEventListener("abort", giveUp);
		}
	}

	/** The same for work that goes on only as long as answers come. */
	async #answering<T>(work: Promise<T>): Promise<T> {
		const { clock } = this.#services.platform;
		const timer = new AbortController();
		this.#over.signal.addEventListener("abort", () => timer.abort(), { once: true });
		const watch = async (): Promise<never> => {
			let answered = -1;
			for (let lastMs = clock.now(); clock.now() - lastMs < SILENCE_MS; await clock.sleep(WATCH_MS, timer.signal))
				if (this.#client.answered !== answered) {
					answered = this.#client.answered;
					lastMs = clock.now();
				}
			throw new SilenceError(
				`the client got no answer for ${SILENCE_MS / 1000} s; ${answered} of ${this.#client.sent} are in`,
			);
		};
		const watching = watch();
		watching.catch(() => undefined); // released with the timer, or it wins the race
		try {
			return await Promise.race([work, watching]);
		} finally {
			timer.abort();
		}
	}
}
