/**
 * Two links that are connected to each other inside one process: the same lanes, windows and endings as a link over a
 * stream, without bytes in between. Payloads are copied, so the sender may reuse its buffers. Deterministic: no timers, no
 * events, only promises.
 */
import {
	type IncomingFrame,
	type Lane,
	type Link,
	LinkError,
	type LinkTraffic,
	type OutgoingFrame,
} from "../ports/link.ts";
import { FRAME_HEADER_BYTES, type Hash64 } from "../wire/frame.ts";
import { Arrivals } from "./arrivals.ts";
import { ArrivedFrame } from "./arrived-frame.ts";
import { BufferPool } from "./buffer-pool.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { type LinkLimits, type LinkOptions, resolveLimits } from "./link-options.ts";
import { chargedByteLength, checkOutgoing, Outbox, type PendingFrame } from "./outbox.ts";
import { frameCharge, ReceiveWindow } from "./window.ts";

/**
 * Creates both ends; the options hold for each.
 *
 * @example
 * ```ts
 * import { createEngine } from "../engine/engine.ts";
 * import { hash64 } from "../engine/hash.ts";
 * import { createInProcessLinks } from "./in-process.ts";
 * const engine = createEngine();
 * const [source, target] = createInProcessLinks({ hash64: (bytes) => hash64(engine, bytes) });
 * await source.send({ type: 48, payload: new Uint8Array(2) });
 * (await target.receive()).release();
 * await source.close();
 * ```
 */
export function createInProcessLinks(options: LinkOptions): [Link, Link] {
	const limits = resolveLimits(options);
	const first = new InProcessLink(limits, options.hash64);
	const second = new InProcessLink(limits, options.hash64);
	first.connect(second);
	second.connect(first);
	return [first, second];
}

class InProcessLink implements Link {
	readonly windowBytes: number;
	readonly #hash64: Hash64;
	readonly #pool: BufferPool;
	readonly #outbox = new Outbox();
	readonly #arrivals = new Arrivals();
	readonly #windows: readonly [ReceiveWindow, ReceiveWindow];
	readonly #traffic = { bytesSent: 0, bytesReceived: 0, framesSent: 0, framesReceived: 0 };
	readonly #ended = new AbortController();
	#peer: InProcessLink = this;
	#error: LinkError | undefined;
	#closing: Deferred<void> | undefined;

	constructor(limits: LinkLimits, hash64: Hash64) {
		this.#hash64 = hash64;
		this.windowBytes = limits.windowBytes;
		this.#windows = [new ReceiveWindow(limits.windowBytes), new ReceiveWindow(limits.urgentWindowBytes)];
		this.#pool = new BufferPool(limits.windowBytes + limits.urgentWindowBytes + limits.maximumFrameBytes);
		this.#outbox.open(limits);
	}

	connect(peer: InProcessLink): void {
		this.#peer = peer;
	}

	get ended(): AbortSignal {
		return this.#ended.signal;
	}

	get traffic(): LinkTraffic {
		return this.#traffic;
	}

	async send(frame: OutgoingFrame, lane: Lane = "bulk"): Promise<void> {
		checkOutgoing(frame, lane);
		if (this.#error !== undefined) throw this.#error;
		if (this.#closing !== undefined) throw new LinkError("closed", "this side has closed the link");
		const sent = this.#outbox.push(frame, lane, frame.checksum ?? this.#hash64(frame.payload));
		this.#pump();
		await sent;
	}

	async settle(): Promise<boolean> {
		if (this.#error !== undefined) throw this.#error;
		return this.#outbox.settled();
	}

	receive(): Promise<IncomingFrame> {
		return this.#arrivals.receive();
	}

	close(): Promise<void> {
		if (this.#closing !== undefined) return this.#closing.promise;
		this.#arrivals.drop(this.#error ?? new LinkError("closed", "this side has closed the link"));
		if (this.#error !== undefined) return Promise.resolve();
		this.#closing = deferred();
		this.#pump();
		return this.#closing.promise;
	}

	abort(reason: unknown): void {
		this.#fail(new LinkError("aborted", "this side has dropped the link", reason));
		this.#arrivals.drop(this.#error!);
		this.#peer.#fail(new LinkError("lost", "the peer has dropped the link"));
	}

	#pump(): void {
		for (let frame = this.#outbox.next(); frame !== undefined; frame = this.#outbox.next()) {
			const byteLength = FRAME_HEADER_BYTES + chargedByteLength(frame);
			this.#traffic.framesSent++;
			this.#traffic.bytesSent += byteLength;
			this.#peer.#take(frame, byteLength);
			frame.resolve();
		}
		if (this.#closing === undefined || this.#error !== undefined || !this.#outbox.empty) return;
		this.#finish(new LinkError("closed", "this side has closed the link"));
		this.#peer.#finish(new LinkError("closed", "the peer has closed the link"));
	}

	#take(sent: PendingFrame, byteLength: number): void {
		this.#traffic.framesReceived++;
		this.#traffic.bytesReceived += byteLength;
		const { lane, type, checksum } = sent;
		const charge = frameCharge(sent.payload.byteLength, sent.modelledByteLength);
		this.#windows[lane].accept(charge);
		const payload = new Uint8Array(this.#pool.take(sent.payload.byteLength), 0, sent.payload.byteLength);
		payload.set(sent.payload);
		const frame = new ArrivedFrame(type, payload, checksum, this.#pool, () => {
			this.#windows[lane].release(charge);
			this.#giveCredit();
		});
		// A sender that waits for credit must not keep this side from closing.
		if (this.#closing !== undefined) frame.release();
		else this.#arrivals.push(lane, frame);
	}

	#giveCredit(): void {
		if (this.#error !== undefined) return;
		const bulkBytes = this.#windows[0].takeCredit();
		const urgentBytes = this.#windows[1].takeCredit();
		if (bulkBytes + urgentBytes === 0) return;
		this.#peer.#outbox.restore({ bulkBytes, urgentBytes });
		this.#peer.#pump();
	}

	#finish(error: LinkError): void {
		if (this.#error !== undefined) return;
		this.#error = error;
		this.#outbox.reject(error);
		this.#arrivals.end(error, () => this.#ended.abort(error));
		if (this.#closing !== undefined) this.#ended.abort(error);
		this.#closing?.resolve();
	}

	#fail(error: LinkError): void {
		if (this.#error !== undefined) return;
		this.#error = error;
		this.#outbox.reject(error);
		this.#arrivals.end(error);
		this.#closing?.reject(error);
		this.#ended.abort(error);
	}
}
