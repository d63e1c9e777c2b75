// QMP, QEMU's control protocol: one JSON object a line, answers by id, events in between.
//
//   greeting ─▶ qmp_capabilities ─▶ commands and events … ─▶ end of the connection: QEMU is gone
//
// Every answer is waited for with a limit, but for those that their caller waits for with its own.
//
// Source: QEMU's docs/interop/qmp-spec. No kept library for it exists on npm, and these lines have no dependency.
import type { ByteStream } from "../../ports/byte-stream.ts";
import type { Clock } from "../../ports/clock.ts";
import { type ReportError, tellListeners } from "../listeners.ts";
import { ANSWER_MS, inTime } from "./answer-limit.ts";
import { QemuError } from "./errors.ts";
import { hasMember, member, textMember } from "./json.ts";
import { textLines } from "./text-lines.ts";

/** An event as it came. */
export interface QmpEvent {
	readonly name: string;
	readonly data: unknown;
}

interface Pending {
	readonly command: string;
	resolve(value: unknown): void;
	reject(error: Error): void;
}

/** What a client works with. */
export interface QmpServices {
	readonly clock: Clock;
	/** Takes what a listener throws. */
	readonly report: ReportError;
}

/** See the head of this file. */
export class QmpClient {
	readonly #stream: ByteStream;
	readonly #services: QmpServices;
	readonly #pending: Map<number, Pending> = new Map();
	readonly #listeners: Set<(event: QmpEvent) => void> = new Set();
	readonly #waiting: Set<(error: Error) => void> = new Set();
	#greeted: (() => void) | undefined;
	#nextId = 1;
	#ended: Error | undefined;

	private constructor(stream: ByteStream, services: QmpServices) {
		this.#stream = stream;
		this.#services = services;
		void this.#read();
	}

	/**
	 * Greets QEMU at the other end.
	 * @throws {QemuError} `exited` if it hangs up, `no-answer`.
	 */
	static async open(stream: ByteStream, services: QmpServices): Promise<QmpClient> {
		const client = new QmpClient(stream, services);
		const greeted = new Promise<void>((resolve, reject) => {
			client.#greeted = resolve;
			client.#waiting.add(reject);
		});
		try {
			if (!(await inTime(services.clock, ANSWER_MS, greeted)))
				throw new QemuError("no-answer", `QEMU has not greeted within ${ANSWER_MS} ms`);
			await client.execute("qmp_capabilities");
			return client;
		} catch (error) {
			client.end(error instanceof Error ? error : hungUp(error));
			throw error;
		}
	}

	/**
	 * Runs a command.
	 * @returns what QEMU answers, whatever it is
	 * @throws {QemuError} `command` with QEMU's words, `exited`; `no-answer`: it may do it all the same as soon as it goes on.
	 */
	async execute(
		command: string,
		args?: Readonly<Record<string, unknown>>,
		{ answerMs = ANSWER_MS }: { readonly answerMs?: number | undefined } = {},
	): Promise<unknown> {
		const answer = this.send(command, args);
		if (await inTime(this.#services.clock, answerMs, answer)) return answer;
		answer.catch(() => undefined); // nobody waits for it any more
		const words = `QEMU has not answered '${command}' within ${answerMs} ms: it stands still; it may do it all the same later`;
		throw new QemuError("no-answer", words);
	}

	/**
	 * Sends a command; whoever waits for its answer has a limit of its own.
	 * @throws {QemuError} `command` with QEMU's words, `exited`.
	 */
	send(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
		return new Promise((resolve, reject) => {
			if (this.#ended !== undefined) return reject(this.#ended);
			const id = this.#nextId++;
			this.#pending.set(id, { command, resolve, reject });
			const line = JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id });
			const bytes = new TextEncoder().encode(`${line}\n`);
			this.#stream.write([bytes]).catch((error: unknown) => this.end(hungUp(error)));
		});
	}

	/** Calls `listener` for each event from now on. @returns what ends that */
	onEvent(listener: (event: QmpEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** The next event that `isIt` takes. Call it before the command that causes the event. @throws {QemuError} `exited` */
	waitFor(isIt: (event: QmpEvent) => boolean): Promise<QmpEvent> {
		return new Promise((resolve, reject) => {
			if (this.#ended !== undefined) return reject(this.#ended);
			const settle = (work: () => void) => {
				stop();
				this.#waiting.delete(fail);
				work();
			};
			const fail = (error: Error) => settle(() => reject(error));
			const stop = this.onEvent((event) => {
				if (isIt(event)) settle(() => resolve(event));
			});
			this.#waiting.add(fail);
		});
	}

	/** Everything pending and everything later rejects with `reason`. The first reason stays. */
	end(reason: Error): void {
		if (this.#ended !== undefined) return;
		this.#ended = reason;
		this.#stream.abort(reason);
		for (const { reject } of this.#pending.values()) reject(reason);
		this.#pending.clear();
		for (const reject of [...this.#waiting]) reject(reason);
		this.#waiting.clear();
	}

	async #read(): Promise<void> {
		try {
			for await (const line of textLines(this.#stream)) if (line !== "") this.#take(JSON.parse(line));
			this.end(hungUp());
		} catch (error) {
			this.end(hungUp(error));
		}
	}

	#take(message: unknown): void {
		if (member(message, "QMP") !== undefined) {
			this.#greeted?.();
			return;
		}
		const name = textMember(message, "event");
		if (name !== undefined) {
			tellListeners(this.#listeners, { name, data: member(message, "data") }, this.#services.report);
			return;
		}
		const id = member(message, "id");
		const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
		if (pending === undefined || typeof id !== "number") return;
		this.#pending.delete(id);
		const refusal = member(message, "error");
		// An answer of a QEMU's has one of the two; whatever has not is no word that the command was done.
		const problem = textMember(refusal, "desc") ?? "it gives no reason";
		if (refusal === undefined && hasMember(message, "return")) pending.resolve(member(message, "return"));
		else pending.reject(new QemuError("command", `QEMU refused '${pending.command}': ${problem}`));
	}
}

const hungUp = (cause?: unknown): QemuError => new QemuError("exited", "QEMU closed its control connection", "", cause);
