// What tests of guests at a wire work with: programs that are the wire and its hosts, and real clients whose connections end in it.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import * as assert from "uvu/assert";
import { wireStatus } from "../../bindings/network/wire-client.ts";
import type { WireStatus } from "../../bindings/network/wire-orders.ts";
import type { Platform } from "../../bindings/ports/platform.ts";
import type { RunningProcess } from "../../bindings/ports/process.ts";
import { guestProgram } from "./programs.ts";

/** A program of ours and what it says. */
export class Program {
	readonly process: RunningProcess;
	readonly #said: Record<string, unknown>[] = [];
	#wake: () => void = () => undefined;
	#hasEnded = false;

	private constructor(process: RunningProcess) {
		this.process = process;
		void this.#listen();
	}

	static async start({ processes }: Platform, name: string, ...args: readonly string[]): Promise<Program> {
		const command = guestProgram(name);
		return new Program(await processes.start({ ...command, args: [...command.args, ...args] }));
	}

	/** Waits for the next line that has this. @throws with its last words when it ends */
	async says(key: string, value?: unknown): Promise<Record<string, unknown>> {
		for (;;) {
			const at = this.#said.findIndex((line) => key in line && (value === undefined || line[key] === value));
			if (at >= 0) return this.#said.splice(at, 1)[0]!;
			if (this.#hasEnded) throw new Error(`ended without ${key} ${value}: ${this.process.errorText()}`);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	async kill(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
		this.process.kill(signal);
		await this.process.ended;
	}

	async #listen(): Promise<void> {
		for await (const line of this.process.lines) {
			this.#said.push(JSON.parse(line) as Record<string, unknown>);
			this.#wake();
		}
		this.#hasEnded = true;
		this.#wake();
	}
}

/** A client that sends numbers to a guest's `wire serve`, and takes each answer once. */
export class Client {
	readonly #socket: Socket;
	readonly #pieces: AsyncIterator<Uint8Array>;
	#unread: number[] = [];
	answers = 0;

	private constructor(socket: Socket) {
		this.#socket = socket;
		this.#pieces = socket[Symbol.asyncIterator]();
	}

	/** By a forwarded port of this machine. */
	static async connect(port: number): Promise<Client> {
		// What still comes is read after this side has ended its own half: see `ends`.
		const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
		await once(socket, "connect");
		return new Client(socket);
	}

	/** Sends so many more, each once the one before has come back. @throws when an answer is another's, or there is none */
	async asks(count: number): Promise<void> {
		for (let i = 0; i < count; i++) {
			const number = this.answers + 1;
			this.#socket.write(new Uint8Array(new Uint32Array([number]).buffer));
			while (this.#unread.length < 4) {
				if (!(await this.#readMore())) throw new Error(`the connection ended at ${number}`);
			}
			const [answer] = new Uint32Array(Uint8Array.from(this.#unread.splice(0, 4)).buffer);
			assert.is(answer, number, "the answer to this question");
			this.answers = number;
		}
	}

	/** Ends its half and reads until the guest has ended the other: no answer came twice, the last one neither. */
	async ends(): Promise<void> {
		this.#socket.end();
		while (await this.#readMore());
		assert.equal(this.#unread, [], "more than was asked for");
	}

	async #readMore(): Promise<boolean> {
		const { value, done } = await this.#pieces.next();
		if (done === true) return false;
		this.#unread.push(...value);
		return true;
	}
}

/** Asks a wire until it is as wanted. */
export async function settled(
	platform: Platform,
	place: { readonly name: string; readonly folder: string },
	isSo: (status: WireStatus) => boolean,
): Promise<WireStatus> {
	for (;;) {
		const status = await wireStatus(platform, place);
		if (isSo(status)) return status;
		await platform.clock.sleep(5);
	}
}

/** The machines that a wire has seen at one of its ports. */
export const machinesAt = ({ ports }: WireStatus, name: string): readonly string[] =>
	ports.find((port) => port.name === name)?.machines ?? [];

/** Why there can be no clients by passt; `undefined` where there can. */
export async function whyNoPasst({ processes }: Platform): Promise<string | undefined> {
	try {
		await (await processes.start({ executable: "passt", args: ["--version"] })).ended;
		return undefined;
	} catch {
		return "passt is not installed (Debian: apt install passt)";
	}
}
