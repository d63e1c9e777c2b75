/**
 * Messages over a byte stream: one JSON value per line. It carries what the processes of the demo say to each other
 * (messages.ts); guests never travel this way.
 *
 * Both ends are pageferry's own and of the same version, so a message's shape is trusted; its length is not.
 */
import type { ByteStream } from "../ports/byte-stream.ts";

/** Characters of one message: the largest is a guest's final state as text. */
const MAX_LINE_CHARACTERS = 64 * 1024 * 1024;
const READ_BYTES = 64 * 1024;

/** The peer sent what is no message. */
export class LineError extends Error {
	override readonly name = "LineError";
	readonly code = "malformed";
}

/** See the head of this file. `Out` is what this side says, `In` what it hears. */
export class LineStream<Out, In> {
	readonly #stream: ByteStream;
	readonly #encoder = new TextEncoder();

	constructor(stream: ByteStream) {
		this.#stream = stream;
	}

	/** Sends messages, in one write. @throws {LinkError} */
	send(...messages: readonly Out[]): Promise<void> {
		const text = messages.map((message) => `${JSON.stringify(message)}\n`).join("");
		return this.#stream.write([this.#encoder.encode(text)]);
	}

	/**
	 * Every message until the peer closes.
	 * @throws {LinkError} when the connection breaks; {@link LineError}.
	 */
	async *messages(): AsyncGenerator<In, void, undefined> {
		const decoder = new TextDecoder();
		const buffer = new Uint8Array(READ_BYTES);
		const partial: string[] = [];
		let partialCharacters = 0;
		for (;;) {
			const byteLength = await this.#stream.readInto(buffer);
			if (byteLength === 0) return;
			const lines = decoder.decode(buffer.subarray(0, byteLength), { stream: true }).split("\n");
			const rest = lines.pop() ?? "";
			for (const line of lines) {
				partial.push(line);
				yield parse<In>(partial.splice(0).join(""));
				partialCharacters = 0;
			}
			partial.push(rest);
			partialCharacters += rest.length;
			if (partialCharacters > MAX_LINE_CHARACTERS) throw new LineError("a message that does not end");
		}
	}

	/** Delivers what was sent, then closes. */
	close(): Promise<void> {
		return this.#stream.close();
	}

	/** Drops the connection. */
	abort(reason: unknown): void {
		this.#stream.abort(reason);
	}
}

function parse<Message>(line: string): Message {
	try {
		// allowed (cast): see the head of this file, the shape is trusted
		return JSON.parse(line) as Message;
	} catch (cause) {
		throw new LineError(`no message: ${line.slice(0, 100)}`, { cause });
	}
}
