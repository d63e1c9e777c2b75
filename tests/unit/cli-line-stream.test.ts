import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LineError, LineStream } from "../../bindings/cli/line-stream.ts";
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";

/** A stream that delivers these bytes in pieces of this size, then ends, and keeps what is written. */
class ScriptedStream implements ByteStream {
	readonly written: string[] = [];
	#bytes: Uint8Array;
	readonly #pieceBytes: number;

	constructor(text: string, pieceBytes: number) {
		this.#bytes = new TextEncoder().encode(text);
		this.#pieceBytes = pieceBytes;
	}

	write(parts: readonly Uint8Array[]): Promise<void> {
		for (const part of parts) this.written.push(new TextDecoder().decode(part));
		return Promise.resolve();
	}

	readInto(target: Uint8Array): Promise<number> {
		const piece = this.#bytes.subarray(0, Math.min(this.#pieceBytes, target.byteLength));
		target.set(piece);
		this.#bytes = this.#bytes.subarray(piece.byteLength);
		return Promise.resolve(piece.byteLength);
	}

	close(): Promise<void> {
		return Promise.resolve();
	}

	abort(): void {}
}

async function heard(text: string, pieceBytes: number): Promise<unknown[]> {
	const messages: unknown[] = [];
	const lines = new LineStream<unknown, unknown>(new ScriptedStream(text, pieceBytes));
	for await (const message of lines.messages()) messages.push(message);
	return messages;
}

const test = suite("messages by lines");

test("messages arrive whole, wherever the stream cuts them, inside a character too", async () => {
	const messages = [{ a: 1 }, "zwölf Boxkämpfer", null, [1, 2, { b: "€\n" }]];
	const text = messages.map((message) => `${JSON.stringify(message)}\n`).join("");
	for (let pieceBytes = 1; pieceBytes <= text.length + 1; pieceBytes++)
		assert.equal(await heard(text, pieceBytes), messages, `pieces of ${pieceBytes}`);
});

test("several messages leave in one write, a line each", async () => {
	const stream = new ScriptedStream("", 1);
	await new LineStream<object, object>(stream).send({ a: 1 }, { b: "x\ny" });
	assert.equal(stream.written, ['{"a":1}\n{"b":"x\\ny"}\n']);
});

test("what is no JSON is an error that shows it", async () => {
	try {
		await heard('{"a":1}\nGET / HTTP/1.1\n', 5);
		assert.unreachable();
	} catch (error) {
		assert.instance(error, LineError);
		assert.match((error as Error).message, /GET \/ HTTP/);
	}
});

test("a line that does not end is an error before it fills the memory", async () => {
	const endless: ByteStream = {
		write: () => Promise.resolve(),
		readInto: (target) => Promise.resolve(target.fill(0x20).byteLength),
		close: () => Promise.resolve(),
		abort: () => undefined,
	};
	try {
		for await (const _ of new LineStream<unknown, unknown>(endless).messages()) assert.unreachable();
		assert.unreachable();
	} catch (error) {
		assert.instance(error, LineError);
	}
});

test.run();
