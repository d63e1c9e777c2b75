/**
 * A process with a QEMU of its own, seen from the command: what it says, kept until it is asked for, and orders to it.
 *
 *   start ─▶ hello with its address ─▶ leash: orders ─▶ news … ─▶ stop: the leash closes, it ends its QEMU and itself
 *
 * Invariant: after {@link MachineProcess.stop} the process is gone. It also goes, and its QEMU with it, when the command is
 * killed, because the leash closes then.
 */
import type { ByteStream, StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import type { ProcessCommand, RunningProcess } from "../ports/process.ts";
import { endedError, type HostEndedError } from "./host-process.ts";
import { LineStream } from "./line-stream.ts";
import type { QemuHostNews, QemuHostOrder } from "./qemu-host.ts";

/** How long it may say nothing while something is waited for, in ms: a machine boots in 2 s, on a busy computer in 20. */
const SILENCE_MS = 120_000;
/** How long it may take to end its QEMU and itself, in ms. */
const STOP_MS = 10_000;

type NewsOf<Name extends QemuHostNews["news"]> = Extract<QemuHostNews, { readonly news: Name }>;

/** Could not do what it was told, in its own words. */
class MachineProcessError extends Error {
	override readonly name = "MachineProcessError";
	readonly code = "failed";
}

/** See the head of this file. */
export class MachineProcess {
	readonly #platform: Platform;
	readonly #role: string;
	readonly #process: RunningProcess;
	readonly #onNews: (news: QemuHostNews) => void;
	readonly #heard: QemuHostNews[] = [];
	#leash: ByteStream | undefined;
	#orders: LineStream<QemuHostOrder, never> | undefined;
	#address: StreamAddress | undefined;
	#end: HostEndedError | undefined;
	#wake: () => void = () => undefined;
	#lastMs = 0;
	/** Everything its machine has written. */
	text = "";

	private constructor(
		start: { readonly platform: Platform; readonly role: string; readonly onNews: (news: QemuHostNews) => void },
		process: RunningProcess,
	) {
		this.#platform = start.platform;
		this.#role = start.role;
		this.#onNews = start.onNews;
		this.#process = process;
		void this.#listen();
	}

	/** @throws {ProcessError} */
	static async start(
		start: { readonly platform: Platform; readonly role: string; readonly onNews: (news: QemuHostNews) => void },
		command: Pick<ProcessCommand, "executable" | "args">,
	): Promise<MachineProcess> {
		return new MachineProcess(start, await start.platform.processes.start(command));
	}

	get pid(): number {
		return this.#process.pid;
	}

	/** Where it listens for a guest. */
	get address(): StreamAddress {
		if (this.#address === undefined) throw new RangeError("address: not connected yet");
		return this.#address;
	}

	/** Waits until it has said where it is, and connects. @returns its runtime. @throws {HostEndedError}, {LinkError} */
	async connect(signal: AbortSignal): Promise<string> {
		const { address, runtime } = await this.news("hello", signal);
		this.#address = address;
		this.#leash = await this.#platform.connect(address);
		this.#orders = new LineStream(this.#leash);
		return runtime;
	}

	/** @throws {LinkError} when it has gone */
	async order(order: QemuHostOrder): Promise<void> {
		await this.#orders?.send(order);
	}

	/**
	 * Waits for the first news of this name.
	 * @throws {MachineProcessError} in its words, {@link HostEndedError} when it ends first, the signal's reason
	 */
	async news<Name extends QemuHostNews["news"]>(name: Name, signal: AbortSignal): Promise<NewsOf<Name>> {
		const isIt = (news: QemuHostNews): news is NewsOf<Name> => news.news === name;
		const { clock } = this.#platform;
		this.#lastMs = clock.now();
		for (;;) {
			signal.throwIfAborted();
			const found = this.#heard.find(isIt);
			if (found !== undefined) return found;
			this.throwIfFailed();
			const leftMs = this.#lastMs + SILENCE_MS - clock.now();
			if (leftMs <= 0)
				throw new MachineProcessError(
					`${this.#role}: no '${name}' in ${SILENCE_MS} ms; its machine: ${this.text.slice(-500)}`,
				);
			await this.#somethingNew(leftMs, signal);
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
		this.#leash?.abort("the command has finished");
		// Without a leash it has no QEMU either.
		if (this.#leash === undefined) this.#process.kill("SIGKILL");
		const timer = new AbortController();
		const late = this.#platform.clock.sleep(STOP_MS, timer.signal).then(
			() => this.#process.kill("SIGKILL"),
			() => undefined, // it ended in time
		);
		await this.#process.ended;
		timer.abort();
		await late;
	}

	async #somethingNew(limitMs: number, signal: AbortSignal): Promise<void> {
		const timer = new AbortController();
		const onAbort = (): void => timer.abort();
		signal.addEventListener("abort", onAbort, { once: true });
		this.#wake = onAbort;
		await this.#platform.clock.sleep(limitMs, timer.signal).catch(() => undefined); // woken up
		signal.removeEventListener("abort", onAbort);
	}

	async #listen(): Promise<void> {
		for await (const line of this.#process.lines) {
			const news: QemuHostNews = JSON.parse(line);
			this.#lastMs = this.#platform.clock.now();
			if (news.news === "text") this.text += news.text;
			else if (news.news !== "progress") this.#heard.push(news);
			this.#onNews(news);
			this.#wake();
		}
		this.#end = endedError(this.#role, await this.#process.ended, this.#process.errorText());
		this.#wake();
	}
}
