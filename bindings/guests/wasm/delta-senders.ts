// Encoders that remember what they have sent, in the guest's worker: one for each receiver, each with an engine of its own,
// because a shadow's engine must hand out nothing once its shadow has begun, and because closing a sender frees an engine.
import { BatchEncoder } from "../../engine/batch.ts";
import { createEngine, type Engine } from "../../engine/engine.ts";
import { GuestError } from "../../ports/guest.ts";

interface Sender {
	readonly engine: Engine;
	readonly encoder: BatchEncoder;
}

/** See the head of this file. */
export class DeltaSenders {
	readonly #module: WebAssembly.Module;
	readonly #timed: { readonly now?: () => number };
	readonly #senders = new Map<number, Sender>();
	#nextId = 1;

	/** @param module - the engine's. @param timed - the time in ms, to measure what compression costs */
	constructor(module: WebAssembly.Module, timed: { readonly now?: () => number }) {
		this.#module = module;
		this.#timed = timed;
	}

	/** @throws GuestError `too-large` when there is no memory; RangeError for `sentPages` out of range */
	open(sentPages: number): { readonly sender: number; readonly memoryBytes: number } {
		const engine = createEngine(this.#module);
		let encoder: BatchEncoder;
		try {
			encoder = new BatchEncoder(engine, { ...this.#timed, sentPages });
			encoder.staging(0);
		} catch (cause) {
			engine.dispose();
			if (!(cause instanceof RangeError) || cause.cause === undefined) throw cause;
			throw new GuestError("too-large", `no memory to hold ${sentPages} pages that were sent`, cause);
		}
		const sender = this.#nextId++;
		this.#senders.set(sender, { engine, encoder });
		return { sender, memoryBytes: engine.usedBytes };
	}

	/** @throws TypeError for a sender that was closed */
	encoder(sender: number): BatchEncoder {
		const found = this.#senders.get(sender);
		if (found === undefined) throw new TypeError("this sender is closed");
		return found.encoder;
	}

	/** Closing twice does nothing. */
	close(sender: number): void {
		this.#senders.get(sender)?.engine.dispose();
		this.#senders.delete(sender);
	}

	dispose(): void {
		for (const sender of [...this.#senders.keys()]) this.close(sender);
	}
}
