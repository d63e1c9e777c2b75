// QMP, QEMU's control protocol: one JSON object a line, answers by id, events in between.
//
//   greeting ─▶ qmp_capabilities ─▶ commands and events … ─▶ end of the connection: QEMU is gone
//
// Source: QEMU's docs/interop/qmp-spec. No kept library for it exists on npm, and these lines have no dependency.
import type { ByteStream } from "../../ports/byte-stream.ts";
import { type ReportError, tellListeners } from "../listeners.ts";
import { QemuError } from "./errors.ts";
import { member, textMember } from "./json.ts";
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

/** See the head of this file. */
export class QmpClient {
	readonly #stream: ByteStream;
	readonly #report: ReportError;
	readonly #pending: Map<number, Pending> = new Map();
	readonly #listeners: Set<(event: QmpEvent) => void> = new Set();
	readonly #waiting: Set<(error: Error) => void> = new Set();
	#greeted: (() => void) | undefined;
	#nextId = 1;
	#ended: Error | undefined;

	private constructor(stream: ByteStream, report: ReportError) {
		this.#stream = stream;
		this.#report = report;
		void this.#read();
	}

	/**
	 * Greets QEMU at the other end.
	 * @param report - takes what a listener throws
	 * @throws {QemuError} `exited` if it hangs up.
	 */
	static async open(stream: ByteStream, report: ReportError): Promise<QmpClient> {
		const client = new QmpClient(stream, report);
		await new Promise<void>((resolve, reject) => {
			client.#greeted = resolve;
			client.#waiting.add(reject);
		});
		await client.execute("qmp_capabilities");
		return client;
	}

	/**
	 * Runs a command.
	 * @returns what QEMU answers, whatever it is
	 * @throws {QemuError} `command` with QEMU's words, `exited`.
	 */
	execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
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
			tellListeners(this.#listeners, { name, data: member(message, "data") }, this.#report);
			return;
		}
		const id = member(message, "id");
		const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
		if (pending === undefined || typeof id !== "number") return;
		this.#pending.delete(id);
		const problem = textMember(member(message, "error"), "desc");
		if (problem === undefined) pending.resolve(member(message, "return"));
		else pending.reject(new QemuError("command", `QEMU refused '${pending.command}': ${problem}`));
	}
}

const hungUp = (cause?: unknown): QemuError => new QemuError("exited", "QEMU closed its control connection", "", cause);
