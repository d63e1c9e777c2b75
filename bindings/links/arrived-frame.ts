/** A frame that has arrived, in a buffer of its link's pool. */
import type { IncomingFrame } from "../ports/link.ts";
import { isOptional } from "../wire/record-types.ts";
import type { BufferPool } from "./buffer-pool.ts";

/**
 * See {@link IncomingFrame}. The payload's buffer may be transferred to another thread: release the frame with the buffer
 * that came back, or without one, and then the pool does without.
 */
export class ArrivedFrame implements IncomingFrame {
	readonly type: number;
	readonly optional: boolean;
	readonly payload: Uint8Array<ArrayBuffer>;
	readonly checksum: bigint;
	readonly #byteLength: number;
	readonly #pool: BufferPool;
	#onRelease: (() => void) | undefined;
	#bufferAway = false;

	/** @param onRelease - called once, when the frame is consumed. */
	constructor(
		type: number,
		payload: Uint8Array<ArrayBuffer>,
		checksum: bigint,
		pool: BufferPool,
		onRelease: () => void,
	) {
		this.type = type;
		this.optional = isOptional(type);
		this.payload = payload;
		this.checksum = checksum;
		this.#byteLength = payload.byteLength;
		this.#pool = pool;
		this.#onRelease = onRelease;
	}

	/** See {@link IncomingFrame.release}. Only the first call counts, and the first one that brings a lost buffer back. */
	release(returned?: ArrayBuffer): void {
		const onRelease = this.#onRelease;
		if (onRelease === undefined) {
			if (!this.#bufferAway || returned === undefined) return;
			this.#bufferAway = false;
			this.#pool.keep(this.#byteLength, returned);
			return;
		}
		this.#onRelease = undefined;
		const own = this.payload.buffer;
		const buffer = own.byteLength > 0 ? own : returned;
		this.#bufferAway = buffer === undefined;
		this.#pool.giveBack(this.#byteLength, buffer);
		onRelease();
	}
}
