/** Two byte streams connected in memory, driven by promises alone; what passes can be watched, cut and replaced. */
import type { ByteStream } from "../../../bindings/ports/byte-stream.ts";
import { LinkError } from "../../../bindings/ports/link.ts";

export interface MemoryStreamOptions {
	/** Most bytes that one read gives: makes frames arrive in pieces. */
	readonly readBytes?: number;
}

/** One end. */
export class MemoryStream implements ByteStream {
	/** Everything that was written here, in order. */
	readonly written: Uint8Array[] = [];
	/** Holds the bytes back that are written here, until it is opened again. */
	corked = false;
	#peer: MemoryStream | undefined;
	readonly #readBytes: number;
	#arrived: Uint8Array[] = [];
	#held: Uint8Array[] = [];
	#arrivedEnd = false;
	#error: LinkError | undefined;
	#wake: (() => void) | undefined;

	constructor(options: MemoryStreamOptions = {}) {
		this.#readBytes = options.readBytes ?? Number.POSITIVE_INFINITY;
	}

	static pair(options?: MemoryStreamOptions): [MemoryStream, MemoryStream] {
		const [a, b] = [new MemoryStream(options), new MemoryStream(options)];
		a.#peer = b;
		b.#peer = a;
		return [a, b];
	}

	async write(parts: readonly Uint8Array[]): Promise<void> {
		if (this.#error !== undefined) throw this.#error;
		const bytes = concat(parts);
		this.written.push(bytes);
		if (this.corked) this.#held.push(bytes);
		else this.#peer?.push(bytes);
	}

	uncork(): void {
		this.corked = false;
		for (const bytes of this.#held.splice(0)) this.#peer?.push(bytes);
	}

	/** Bytes arrive here, as if the peer had written them. */
	push(bytes: Uint8Array): void {
		if (bytes.byteLength > 0) this.#arrived.push(bytes);
		this.#wake?.();
	}

	/** The peer has closed in order. */
	pushEnd(): void {
		this.#arrivedEnd = true;
		this.#wake?.();
	}

	/** The connection breaks here. */
	fail(error: LinkError): void {
		this.#error ??= error;
		this.#wake?.();
	}

	async readInto(target: Uint8Array): Promise<number> {
		for (;;) {
			const piece = this.#arrived[0];
			if (piece !== undefined && this.#error?.code !== "aborted") {
				const count = Math.min(piece.byteLength, target.byteLength, this.#readBytes);
				target.set(piece.subarray(0, count));
				if (count === piece.byteLength) this.#arrived.shift();
				else this.#arrived[0] = piece.subarray(count);
				return count;
			}
			if (this.#error !== undefined) throw this.#error;
			if (this.#arrivedEnd) return 0;
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	async close(): Promise<void> {
		this.#peer?.pushEnd();
	}

	abort(reason: unknown): void {
		this.fail(new LinkError("aborted", "dropped here", reason));
		this.#peer?.fail(new LinkError("lost", "dropped by the peer"));
	}
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
	let offset = 0;
	for (const part of parts) {
		bytes.set(part, offset);
		offset += part.byteLength;
	}
	return bytes;
}
