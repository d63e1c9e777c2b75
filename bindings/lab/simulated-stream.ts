/**
 * A byte stream in virtual time, with everything that can go wrong (`stream-faults.ts`).
 *
 *   write ─▶ send buffer ─▶ wire (one piece at a time, modelled bytes / rate) ─▶ latency ─▶ receive buffer ─▶ read
 *            bounded                                                                        bounded
 *
 * A piece is what one call wrote; it arrives as a whole. The wire takes the next piece only while the receive buffer has
 * room, so an end that stops reading stops the other one, as with a socket. Time is charged for the modelled length that
 * the writer names; bytes are real.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";
import { SimulatedDirection, type WireOptions } from "./simulated-direction.ts";
import { type ByteFault, type FaultMoment, joinBytes, type StreamEnd, type StreamFault } from "./stream-faults.ts";
import type { Scheduled, VirtualClock } from "./virtual-clock.ts";

/** How a simulated connection behaves. */
export interface SimulatedStreamOptions extends Partial<WireOptions> {
	/** What goes wrong. */
	readonly faults?: readonly StreamFault[];
}

/** A fault of time: everything but changed bytes. */
type TimeFault = Exclude<StreamFault, ByteFault>;

/** Both ends, and what a test may do to them while the program runs. */
export interface SimulatedConnection {
	readonly a: ByteStream;
	readonly b: ByteStream;
	/** Makes a fault of time happen now; its `when` is ignored. */
	inject(fault: TimeFault): void;
	/** Ends a freeze of an end before its time. */
	thaw(end: StreamEnd): void;
	/** Bytes written so far at an end: offsets for a fault plan. */
	written(end: StreamEnd): number;
}

/** As much as a socket of Linux holds at first. */
const DEFAULT_BUFFER_BYTES = 256 * 1024;

/** Opens a connection. Its faults count from now. */
export function connectSimulated(clock: VirtualClock, options: SimulatedStreamOptions = {}): SimulatedConnection {
	return new Connection(clock, options);
}

class Connection implements SimulatedConnection {
	readonly a: End;
	readonly b: End;
	readonly #clock: VirtualClock;
	readonly #directions: readonly [SimulatedDirection, SimulatedDirection];
	readonly #plannedForTime: Scheduled[] = [];
	readonly #plannedForBytes: TimeFault[] = [];

	constructor(clock: VirtualClock, options: SimulatedStreamOptions) {
		const { rateBytesPerMs = Number.POSITIVE_INFINITY, latencyMs = 0, bufferBytes = DEFAULT_BUFFER_BYTES } = options;
		if (!(rateBytesPerMs > 0)) throw new RangeError("rateBytesPerMs must be above 0");
		if (!(latencyMs >= 0)) throw new RangeError("latencyMs must be 0 or more");
		if (!(bufferBytes > 0)) throw new RangeError("bufferBytes must be above 0");
		this.#clock = clock;
		const faults = options.faults ?? [];
		const direction = (from: StreamEnd) => {
			const byteFaults = faults.filter((fault): fault is ByteFault => "offset" in fault && fault.from === from);
			return new SimulatedDirection(clock, { rateBytesPerMs, latencyMs, bufferBytes }, byteFaults);
		};
		const [ab, ba] = [direction("a"), direction("b")];
		this.#directions = [ab, ba];
		const host = { onWritten: () => this.#checkWritten(), onReleased: () => this.#checkReleased() };
		this.a = new End(ab, ba, host);
		this.b = new End(ba, ab, host);
		for (const fault of faults) if (!("offset" in fault)) this.#plan(fault);
	}

	written(end: StreamEnd): number {
		return this.#direction(end).writtenBytes;
	}

	thaw(end: StreamEnd): void {
		(end === "a" ? this.a : this.b).thaw();
	}

	inject(fault: TimeFault): void {
		switch (fault.kind) {
			case "cut":
				for (const end of [this.a, this.b]) end.lose("the simulated connection was cut");
				return;
			case "stall":
				for (const direction of this.#directions) this.#block(direction, fault.durationMs);
				return;
			case "partition":
				this.#block(this.#direction(fault.from), fault.durationMs);
				return;
			case "freeze": {
				const end = fault.end === "a" ? this.a : this.b;
				end.freeze();
				this.#clock.schedule(fault.durationMs, () => end.thaw());
				return;
			}
		}
	}

	#plan(fault: TimeFault): void {
		if ("atMs" in fault.when)
			this.#plannedForTime.push(this.#clock.schedule(fault.when.atMs, () => this.inject(fault)));
		else this.#plannedForBytes.push(fault);
		this.#checkWritten();
	}

	#checkWritten(): void {
		for (const fault of this.#plannedForBytes.filter(({ when }) => this.#isDue(when))) {
			this.#plannedForBytes.splice(this.#plannedForBytes.indexOf(fault), 1);
			this.inject(fault);
		}
	}

	#isDue(when: FaultMoment): boolean {
		return "afterBytes" in when && this.written(when.from) >= when.afterBytes;
	}

	/** Nothing can go wrong any more with a connection that both ends have let go of. */
	#checkReleased(): void {
		if (this.a.released && this.b.released) for (const planned of this.#plannedForTime) planned.cancel();
	}

	#block(direction: SimulatedDirection, durationMs: number): void {
		direction.block();
		this.#clock.schedule(durationMs, () => direction.unblock());
	}

	#direction(from: StreamEnd): SimulatedDirection {
		return this.#directions[from === "a" ? 0 : 1];
	}
}

/** What an end tells its connection. */
interface EndHost {
	onWritten(): void;
	onReleased(): void;
}

class End implements ByteStream {
	released = false;
	readonly #out: SimulatedDirection;
	readonly #in: SimulatedDirection;
	readonly #host: EndHost;
	#failure: LinkError | undefined;
	#closing: Promise<void> | undefined;
	#freezes = 0;
	/** What a frozen end would have done. */
	#held: (() => void)[] = [];
	#reader: { readonly target: Uint8Array; resolve(count: number): void; reject(error: LinkError): void } | undefined;
	#writers: { resolve(): void; reject(error: LinkError): void }[] = [];

	constructor(out: SimulatedDirection, incoming: SimulatedDirection, host: EndHost) {
		this.#out = out;
		this.#in = incoming;
		this.#host = host;
		incoming.onArrival = () => this.#settleReader();
		out.onSent = () => this.#settleWriters();
	}

	write(parts: readonly Uint8Array[], modelledByteLength?: number): Promise<void> {
		if (this.#failure !== undefined) return Promise.reject(this.#failure);
		if (this.#closing !== undefined) return Promise.reject(closedHere());
		const bytes = joinBytes(parts);
		return new Promise((resolve, reject) => {
			this.#do(() => {
				if (this.#failure !== undefined) return reject(this.#failure);
				this.#writers.push({ resolve, reject });
				this.#out.send(bytes, modelledByteLength ?? bytes.byteLength);
				this.#settleWriters();
				this.#host.onWritten();
			});
		});
	}

	readInto(target: Uint8Array): Promise<number> {
		if (target.byteLength === 0) return Promise.reject(new RangeError("target: must have room for at least one byte"));
		if (this.#reader !== undefined) return Promise.reject(new TypeError("readInto: one read at a time"));
		return new Promise((resolve, reject) => {
			this.#reader = { target, resolve, reject };
			this.#settleReader();
		});
	}

	close(): Promise<void> {
		this.#closing ??= new Promise<void>((resolve) => {
			this.#do(() => {
				if (this.#failure !== undefined) resolve();
				else this.#out.sendEnd(resolve);
				this.#release();
			});
		});
		this.#settleReader();
		return this.#closing;
	}

	abort(reason: unknown): void {
		if (this.#failure?.code === "aborted") return;
		const isFirst = this.#failure === undefined;
		this.#fail(new LinkError("aborted", "this side dropped the stream", reason));
		this.#release();
		if (isFirst) this.#out.reset();
	}

	/** The connection is gone: what has arrived can still be read. */
	lose(message: string): void {
		if (this.#failure !== undefined) return;
		this.#out.drop();
		this.#in.drop();
		this.#fail(new LinkError("lost", message));
	}

	freeze(): void {
		this.#freezes++;
	}

	thaw(): void {
		if (this.#freezes === 0 || --this.#freezes > 0) return;
		this.#catchUp();
	}

	#do(action: () => void): void {
		if (this.#freezes > 0) this.#held.push(action);
		else action();
	}

	/** A frozen end does not see that the connection is lost, unless it drops it itself. */
	#fail(error: LinkError): void {
		this.#failure = error;
		if (error.code === "aborted") this.#freezes = 0;
		if (this.#freezes === 0) this.#catchUp();
	}

	#catchUp(): void {
		for (const action of this.#held.splice(0)) action();
		this.#settleReader();
		this.#settleWriters();
	}

	#release(): void {
		this.released = true;
		this.#in.discard();
		this.#host.onReleased();
	}

	#settleWriters(): void {
		if (this.#freezes > 0) return;
		if (this.#failure !== undefined) for (const writer of this.#writers.splice(0)) writer.reject(this.#failure);
		else if (!this.#out.bufferIsFull) for (const writer of this.#writers.splice(0)) writer.resolve();
	}

	#settleReader(): void {
		const reader = this.#reader;
		if (reader === undefined) {
			if (this.#in.resetArrived) this.lose("the peer dropped the stream");
			return;
		}
		if (this.#failure?.code === "aborted") reader.reject(this.#failure);
		else if (this.#closing !== undefined) reader.reject(closedHere());
		else if (this.#freezes > 0) return;
		else {
			const count = this.#in.read(reader.target);
			if (count !== undefined) reader.resolve(count);
			else if (this.#failure !== undefined) reader.reject(this.#failure);
			else if (this.#in.endArrived) reader.resolve(0);
			else {
				if (this.#in.resetArrived) this.lose("the peer dropped the stream");
				return;
			}
		}
		this.#reader = undefined;
	}
}

function closedHere(): LinkError {
	return new LinkError("closed", "this side has closed the stream");
}
