/**
 * The client of the demo: keeps sending numbered requests and follows the guest wherever it goes.
 *
 *   connected ── "moved to …" ──▶ connecting there ──▶ connected: everything unanswered is sent again, with its numbers
 *       └──── connection lost ───▶ waiting for {@link NumberedClient.follow}
 *
 * A number is answered once. A second answer to the same number must equal the first, and is counted.
 */
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import { LineStream } from "./line-stream.ts";
import type { ClientNews, NumberedRequest } from "./messages.ts";

/** Requests under way when there is no rate to keep: enough that the guest never waits for the next. */
const WINDOW_REQUESTS = 8;
/** Requests that wait for answers at most: a guest that is gone must not fill our memory. */
const MAX_UNANSWERED = 100_000;
/** The rate is kept by sending what is due this often, in ms. */
const TICK_MS = 1;

/** What the client works with. */
export interface ClientOptions {
	readonly platform: Platform;
	/** The request of a number; numbers begin with 1. */
	readonly request: (number: number) => unknown;
	/** 0: as fast as answers come. */
	readonly requestsPerSecond: number;
}

/** Two answers to one number, when they should be equal. */
export interface Contradiction {
	readonly number: number;
	readonly first: string;
	readonly second: string;
}

interface Waiter {
	readonly answers: number;
	resolve(): void;
}

type Connection = LineStream<NumberedRequest, ClientNews>;

/** See the head of this file. */
export class NumberedClient {
	/** Answers by number, from 1, as JSON text. */
	readonly answers: string[] = [];
	/** When each answer came, in ms on the platform's clock. */
	readonly answeredAtMs: number[] = [];
	readonly contradictions: Contradiction[] = [];
	/** Requests that were sent again because the guest had moved before they were answered. */
	resent = 0;
	/** Second answers, equal to the first. */
	repeatedAnswers = 0;
	readonly #options: ClientOptions;
	readonly #unanswered = new Map<number, NumberedRequest>();
	readonly #repeats = new Map<number, () => void>();
	#waiters: Waiter[] = [];
	#connection: Connection | undefined;
	#sent = 0;
	#lastNumber = Number.POSITIVE_INFINITY;
	#running = false;

	constructor(options: ClientOptions) {
		this.#options = options;
	}

	/** Numbers answered. */
	get answered(): number {
		return this.answeredAtMs.length;
	}

	/** The highest number sent. */
	get sent(): number {
		return this.#sent;
	}

	/** Connects and begins to send. @throws {LinkError} */
	async start(address: StreamAddress): Promise<void> {
		await this.follow(address);
		this.#running = true;
		if (this.#options.requestsPerSecond === 0) this.#sendMore(WINDOW_REQUESTS);
		else void this.#keepRate();
	}

	/** Goes where the guest is and sends everything unanswered again. @throws {LinkError} */
	async follow(address: StreamAddress): Promise<void> {
		const connection: Connection = new LineStream(await this.#options.platform.connect(address));
		this.#connection?.abort("the guest is elsewhere");
		this.#connection = connection;
		void this.#listen(connection);
		if (this.#unanswered.size === 0) return;
		this.resent += this.#unanswered.size;
		await connection.send(...this.#unanswered.values());
	}

	/** Resolves when so many numbers are answered. */
	untilAnswered(answers: number): Promise<void> {
		if (this.answered >= answers) return Promise.resolve();
		return new Promise((resolve) => this.#waiters.push({ answers, resolve }));
	}

	/** Stops after so many more requests; resolves when every number is answered. */
	async finish(more: number): Promise<void> {
		this.#lastNumber = this.#sent + more;
		await this.untilAnswered(this.#lastNumber);
		this.#running = false;
	}

	/** Sends answered numbers once more, as a client does that has lost the answers; resolves when they are answered again. */
	async repeat(numbers: readonly number[]): Promise<void> {
		const requests = numbers.map((number) => ({ number, request: this.#options.request(number) }));
		const answered = numbers.map((number) => new Promise<void>((resolve) => this.#repeats.set(number, resolve)));
		await this.#connection?.send(...requests);
		await Promise.all(answered);
	}

	/** Stops at once and drops the connection. */
	stop(): void {
		this.#running = false;
		this.#connection?.abort("the client stops");
		this.#connection = undefined;
	}

	async #listen(connection: Connection): Promise<void> {
		try {
			for await (const news of connection.messages()) {
				if (news.news === "moved") return await this.follow(news.to);
				this.#take(news);
			}
		} catch {
			// Whether the guest lives is not ours to say: the command knows its hosts, and calls follow() if it does.
			connection.abort("the connection is of no more use");
		}
	}

	#take(news: Exclude<ClientNews, { news: "moved" }>): void {
		const { number } = news;
		const text = news.news === "answer" ? JSON.stringify(news.response) : JSON.stringify({ failure: news.message });
		const before = this.answers[number];
		if (before !== undefined) {
			if (before === text) this.repeatedAnswers++;
			else this.contradictions.push({ number, first: before, second: text });
			this.#repeats.get(number)?.();
			this.#repeats.delete(number);
			return;
		}
		this.#unanswered.delete(number);
		this.answers[number] = text;
		this.answeredAtMs.push(this.#options.platform.clock.now());
		if (this.#options.requestsPerSecond === 0) this.#sendMore(WINDOW_REQUESTS - this.#unanswered.size);
		if (this.#waiters.length > 0) this.#wake();
	}

	#wake(): void {
		const due = this.#waiters.filter(({ answers }) => this.answered >= answers);
		this.#waiters = this.#waiters.filter(({ answers }) => this.answered < answers);
		for (const { resolve } of due) resolve();
	}

	async #keepRate(): Promise<void> {
		const { platform, requestsPerSecond } = this.#options;
		const startedMs = platform.clock.now();
		while (this.#running) {
			const due = Math.floor(((platform.clock.now() - startedMs) * requestsPerSecond) / 1000) + 1;
			this.#sendMore(Math.min(due, this.#lastNumber) - this.#sent);
			await platform.clock.sleep(TICK_MS);
		}
	}

	#sendMore(count: number): void {
		const requests: NumberedRequest[] = [];
		for (; count > 0 && this.#sent < this.#lastNumber && this.#unanswered.size < MAX_UNANSWERED; count--) {
			const number = ++this.#sent;
			const request = { number, request: this.#options.request(number) };
			this.#unanswered.set(number, request);
			requests.push(request);
		}
		const connection = this.#connection;
		if (requests.length === 0 || connection === undefined) return;
		connection.send(...requests).catch((error: unknown) => connection.abort(error)); // they stay unanswered until follow()
	}
}
