/**
 * A process with a machine of its own, seen from the command: what it says, kept until it is asked for, and orders to it.
 *
 *   start ─▶ it connects and proves its token ─▶ orders, news … ─▶ stop: the connection closes, it ends its machine and itself
 *
 * Invariant: after {@link MachineProcess.stop} the process is gone. It also goes, and its machine with it, when the command is
 * killed, because its connection closes then.
 */
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { RunningProcess } from "../ports/process.ts";
import {
	endedError,
	type HostEndedError,
	type HostServices,
	type HostStart,
	type StartedHost,
	startHost,
} from "./host-start.ts";
import type { LineStream } from "./line-stream.ts";
import type { MachineHello, MachineNews, MachineOrder } from "./machine-messages.ts";

/** How long it may say nothing while something is waited for, in ms: a machine boots in 2 s, on a busy computer in 20. */
const SILENCE_MS = 120_000;
/** How long it may take to end its machine and itself, in ms: a little more than it takes at most. */
const STOP_MS = 10_000;

/** News that are kept until somebody asks. */
type Kept = Exclude<MachineNews, { readonly news: "hello" | "text" | "progress" }>;
type NewsOf<Name extends Kept["news"]> = Extract<Kept, { readonly news: Name }>;

/** Could not do what it was told, in its own words. */
class MachineProcessError extends Error {
	override readonly name = "MachineProcessError";
	readonly code = "failed";
}

/** What starts one. */
export interface MachineProcessStart extends HostStart {
	readonly signal: AbortSignal;
	readonly onNews: (news: MachineNews) => void;
}

/** See the head of this file. */
export class MachineProcess {
	readonly hello: MachineHello;
	readonly #platform: HostServices;
	readonly #role: string;
	readonly #signal: AbortSignal;
	readonly #process: RunningProcess;
	readonly #control: LineStream<MachineOrder, MachineNews>;
	readonly #onNews: (news: MachineNews) => void;
	readonly #heard: Kept[] = [];
	#end: HostEndedError | undefined;
	#wake: () => void = () => undefined;
	#lastMs = 0;
	/** Everything its machine has written. */
	text = "";

	private constructor(start: MachineProcessStart, started: StartedHost<MachineOrder, MachineNews>) {
		this.hello = started.hello;
		this.#platform = start.platform;
		this.#role = start.role;
		this.#signal = start.signal;
		this.#onNews = start.onNews;
		this.#process = started.process;
		this.#control = started.control;
		void this.#listen(started.news);
		void this.#watchEnd();
	}

	/** Starts a process and waits for its first word. @throws {HostEndedError}, {ProcessError}, the signal's reason; nothing is left behind then. */
	static async start(start: MachineProcessStart): Promise<MachineProcess> {
		return new MachineProcess(start, await startHost<MachineOrder, MachineNews>(start));
	}

	get pid(): number {
		return this.#process.pid;
	}

	/** Where it listens for a guest. */
	get door(): StreamAddress {
		return this.hello.door;
	}

	/** Whether the process has ended. */
	get gone(): boolean {
		return this.#end !== undefined;
	}

	/** Tells it; that it cannot be told any more is heard by {@link MachineProcess.news}. */
	order(order: MachineOrder): void {
		this.#control.send(order).catch((error: unknown) => this.#control.abort(error));
	}

	/**
	 * Waits for the first news of this name.
	 * @throws {MachineProcessError} in its words, or when it says nothing for too long; {@link HostEndedError} when it ends first,
	 *   the signal's reason
	 */
	async news<Name extends Kept["news"]>(name: Name): Promise<NewsOf<Name>> {
		const isIt = (news: Kept): news is NewsOf<Name> => news.news === name;
		const { clock } = this.#platform;
		this.#lastMs = clock.now();
		for (;;) {
			this.#signal.throwIfAborted();
			const found = this.#heard.find(isIt);
			if (found !== undefined) return found;
			this.throwIfFailed();
			const leftMs = this.#lastMs + SILENCE_MS - clock.now();
			if (leftMs <= 0)
				throw new MachineProcessError(
					`${this.#role}: no '${name}' in ${SILENCE_MS} ms; its machine: ${this.text.slice(-500)}`,
				);
			await this.#somethingNew(leftMs);
		}
	}

	/** @throws {MachineProcessError}, {@link HostEndedError} */
	throwIfFailed(): void {
		const failed = this.#heard.find((news) => news.news === "failed");
		if (failed !== undefined) throw new MachineProcessError(`${this.#role}: ${failed.message}`);
		if (this.#end !== undefined) throw this.#end;
	}

	/** Ends the process: in order if it can, by force if not. */
	async stop(): Promise<void> {
		this.#control.abort("the command has finished");
		const timer = new AbortController();
		const late = this.#platform.clock.sleep(STOP_MS, timer.signal).then(
			() => this.#process.kill("SIGKILL"),
			() => undefined, // it ended in time
		);
		await this.#process.ended;
		timer.abort();
		await late;
	}

	async #somethingNew(limitMs: number): Promise<void> {
		const timer = new AbortController();
		const onAbort = (): void => timer.abort();
		this.#signal.addEventListener("abort", onAbort, { once: true });
		this.#wake = onAbort;
		await this.#platform.clock.sleep(limitMs, timer.signal).catch(() => undefined); // woken up
		this.#signal.removeEventListener("abort", onAbort);
	}

	async #listen(all: AsyncIterator<MachineNews>): Promise<void> {
		try {
			for (let next = await all.next(); next.done !== true; next = await all.next()) this.#take(next.value);
		} catch (error) {
			this.#control.abort(error); // the process is ending: its end says how
		}
	}

	#take(news: MachineNews): void {
		this.#lastMs = this.#platform.clock.now();
		if (news.news === "text") this.text += news.text;
		else if (news.news !== "progress" && news.news !== "hello") this.#heard.push(news);
		this.#onNews(news);
		this.#wake();
	}

	async #watchEnd(): Promise<void> {
		this.#end = endedError(this.#role, await this.#process.ended, this.#process.errorText());
		this.#wake();
	}
}
