/**
 * One connection at a wire: a host that brings a guest's frames, or one that asks a question.
 *
 *   first ── join ──▶ joined: frames and orders, in their order, until either side ends it: what its gate holds is dropped then
 *     └── status, stop, fence ──▶ the answer, and the end
 *
 * Invariant: nothing that a host sends, or does not send, reaches further than its own port.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import { FrameSender, readFrames, writeOrder } from "./frame-stream.ts";
import type { SwitchPort } from "./switch.ts";
import { WireError } from "./wire-error.ts";
import { decodeOrder, encodeOrder, WIRE_VERSION, type WireAnswer, type WireOrder } from "./wire-orders.ts";

/** What a connection asks its wire for. */
export interface WireHall {
	readonly pid: number;
	/** @throws {WireError} `port-taken`, `fenced`, `full` */
	join(name: string, door: WireDoor): SwitchPort;
	/** The door's port is free again. */
	left(port: SwitchPort): void;
	/** @throws {WireError} `protocol` for what is no question */
	answer(question: WireOrder): Promise<WireAnswer>;
}

/** Ends the reading of a connection that has asked its question. */
const ASKED = Symbol("asked");

/** See the head of this file. */
export class WireDoor {
	readonly #hall: WireHall;
	readonly #stream: ByteStream;
	#port: SwitchPort | undefined;
	/** The gate's own count of epochs begins anew with each connection, the host's does not. */
	#firstEpoch = 1;
	#lostFrames = 0;
	#question: WireOrder | undefined;

	constructor(hall: WireHall, stream: ByteStream) {
		this.#hall = hall;
		this.#stream = stream;
	}

	/** Whether it has said what it wants. */
	get isKnown(): boolean {
		return this.#port !== undefined || this.isAsking;
	}

	/** Whether it waits for an answer, its last. */
	get isAsking(): boolean {
		return this.#question !== undefined;
	}

	/** Frames for the host that were lost because it did not read. */
	get lostFrames(): number {
		return this.#lostFrames;
	}

	/** Serves it until it ends. Never rejects. */
	async serve(): Promise<void> {
		try {
			for await (const frame of readFrames(this.#stream, (bytes) => this.#obey(decodeOrder(bytes)))) {
				if (this.#port === undefined) throw new WireError("protocol", "a frame before its port was named");
				// A full gate drops it: behind it may come the very order that makes room.
				this.#port.send(frame);
			}
			this.#leave();
			this.#stream.abort("it has ended");
		} catch (error) {
			this.#leave();
			await this.#conclude(error);
		}
	}

	/** Ends it. */
	drop(reason: string): void {
		this.#stream.abort(reason);
	}

	/** The port is free before the host can know that it was lost. */
	#leave(): void {
		if (this.#port === undefined) return;
		this.#hall.left(this.#port);
		this.#port.close();
	}

	/** A last word, if there is one and somebody who hears it. */
	async #conclude(why: unknown): Promise<void> {
		let error = why;
		if (error === ASKED && this.#question !== undefined)
			try {
				this.#say(await this.#hall.answer(this.#question));
			} catch (failure) {
				error = failure;
			}
		if (error instanceof WireError) this.#say({ answer: "refused", code: error.code, message: error.message });
		if (error === ASKED || error instanceof WireError) await this.#stream.close();
		else this.#stream.abort("it has broken");
	}

	#obey(order: WireOrder): void {
		if (this.#port !== undefined) this.#steer(this.#port, order);
		else if (order.order === "join") this.#join(order);
		else {
			this.#question = order;
			throw ASKED;
		}
	}

	#join({ version, port: name, holding, epoch }: WireOrder & { readonly order: "join" }): void {
		if (version !== WIRE_VERSION)
			throw new WireError(
				"protocol",
				`the wire speaks version ${WIRE_VERSION}, the host ${version}: use one pageferry`,
			);
		const port = this.#hall.join(name, this);
		this.#port = port;
		this.#firstEpoch = epoch;
		if (holding) port.gate.hold();
		this.#say({ answer: "joined", pid: this.#hall.pid });
		const sender = new FrameSender(this.#stream, () => this.drop("its host has gone"));
		port.onFrame = (frame) => {
			if (!sender.send(frame)) this.#lostFrames++;
		};
	}

	#steer({ gate }: SwitchPort, order: WireOrder): void {
		if (order.order === "hold") gate.hold();
		else if (order.order === "seal") gate.seal();
		else if (order.order === "open") gate.open();
		else if (order.order === "release") {
			// Epochs of an earlier connection went with it.
			if (order.epoch >= this.#firstEpoch) gate.release(order.epoch - this.#firstEpoch + 1);
		} else if (order.order === "discard") gate.discardAfter(order.epoch - this.#firstEpoch + 1);
		else throw new WireError("protocol", `'${order.order}' is for a connection of its own`);
	}

	#say(answer: WireAnswer): void {
		// Whether it arrives, its host knows.
		writeOrder(this.#stream, encodeOrder(answer)).catch(() => undefined); // the reader of this stream sees its end
	}
}
