/**
 * What a process writes, on its way to a reader: standard output cut into lines, of standard error the tail.
 * Both are bounded: a chatty process waits for its reader, it does not fill our memory.
 */

/** Decoded output that waits for a reader, in characters; beyond it the source is asked to wait. */
const QUEUE_CHARACTERS = 1024 * 1024;
/** A line longer than this is delivered in pieces: no output can be a reason to run out of memory. */
const MAX_LINE_CHARACTERS = QUEUE_CHARACTERS;
/** How much of standard error is kept, in bytes of the source. */
const TAIL_BYTES = 64 * 1024;

/** Lines with a bounded queue between one source and one reader. Line ends (`\n`, `\r\n`) are not part of a line. */
export class LineQueue implements AsyncIterable<string> {
	readonly #decoder = new TextDecoder();
	/** Lines that wait are `#lines[#next …]`: `shift` would move tens of thousands of short lines each time. */
	#lines: string[] = [];
	#next = 0;
	#queuedCharacters = 0;
	#partial = "";
	#hasEnded = false;
	#wakeReader: (() => void) | undefined;
	#wakeSource: (() => void) | undefined;

	/** @returns whether the source may go on at once; otherwise {@link hasRoom} says when. */
	push(bytes: Uint8Array): boolean {
		const pieces = (this.#partial + this.#decoder.decode(bytes, { stream: true })).split("\n");
		this.#partial = pieces.pop() ?? "";
		for (const line of pieces) this.#add(line.endsWith("\r") ? line.slice(0, -1) : line);
		if (this.#partial.length >= MAX_LINE_CHARACTERS) {
			this.#add(this.#partial);
			this.#partial = "";
		}
		this.#wakeReader?.();
		return this.#queuedCharacters < QUEUE_CHARACTERS;
	}

	/** Resolves when the reader has caught up by half. */
	hasRoom(): Promise<void> {
		if (this.#queuedCharacters < QUEUE_CHARACTERS || this.#hasEnded) return Promise.resolve();
		return new Promise((resolve) => {
			this.#wakeSource = resolve;
		});
	}

	/** The source has nothing more; what is queued is still delivered, a last line without its end too. */
	end(): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		const rest = this.#partial + this.#decoder.decode();
		if (rest !== "") this.#add(rest);
		this.#partial = "";
		this.#wakeReader?.();
		this.#wakeSource?.();
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
		for (;;) {
			const line = this.#take();
			if (line !== undefined) yield line;
			else if (this.#hasEnded) return;
			else
				await new Promise<void>((resolve) => {
					this.#wakeReader = resolve;
				});
		}
	}

	#take(): string | undefined {
		const line = this.#lines[this.#next];
		if (line === undefined) return undefined;
		this.#next++;
		if (this.#next * 2 >= this.#lines.length) {
			this.#lines.splice(0, this.#next);
			this.#next = 0;
		}
		this.#queuedCharacters -= line.length + 1;
		if (this.#queuedCharacters < QUEUE_CHARACTERS / 2) this.#wakeSource?.();
		return line;
	}

	#add(line: string): void {
		this.#lines.push(line);
		this.#queuedCharacters += line.length + 1;
	}
}

/** The last 64 KiB of a stream of bytes. */
export class OutputTail {
	#chunks: Uint8Array[] = [];
	#byteLength = 0;

	push(bytes: Uint8Array): void {
		this.#chunks.push(bytes);
		this.#byteLength += bytes.byteLength;
		for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
			const excess = this.#byteLength - TAIL_BYTES;
			if (excess <= 0) return;
			if (first.byteLength > excess) this.#chunks[0] = first.subarray(excess);
			else this.#chunks.shift();
			this.#byteLength -= Math.min(first.byteLength, excess);
		}
	}

	text(): string {
		const decoder = new TextDecoder();
		return this.#chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
	}
}
