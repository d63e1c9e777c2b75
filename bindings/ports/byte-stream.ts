/**
 * An ordered, reliable, duplex stream of bytes: what a TCP or unix-domain socket gives. Platforms implement it; the
 * stream link (`links/stream-link.ts`) puts frames, lanes and credits on top, and the lab's simulated stream implements
 * it in virtual time, so that framing and flow control are the same code live and simulated.
 */
export interface ByteStream {
	/**
	 * Queues `parts` in order, as one write. Resolves when the caller may reuse the buffers and the stream would take
	 * more without growing its own queue. Writes may overlap; their order is the order of the calls.
	 * @param modelledByteLength - how many bytes a simulation should charge for; real streams ignore it.
	 * @throws {LinkError} `lost` when the connection is gone, `aborted` after {@link abort}. Nothing is known then about
	 *   what the peer has received.
	 */
	write(parts: readonly Uint8Array[], modelledByteLength?: number): Promise<void>;
	/**
	 * Reads at least one and at most `target.byteLength` bytes into `target`. Resolves with their number; 0 means that
	 * the peer closed in order. One read at a time.
	 * @param wantedBytes - a hint: the reader will ask again until it has so many, so a stream that fills the target itself
	 *   may wait for them instead of calling back for each piece.
	 * @throws {LinkError} `lost` when the connection broke, `aborted` after {@link abort}.
	 */
	readInto(target: Uint8Array, wantedBytes?: number): Promise<number>;
	/** Sends what is queued, then closes. Resolves when the local side is released, whether or not the peer answered. */
	close(): Promise<void>;
	/** Drops the connection at once; pending calls reject with `aborted` and `reason` as cause. Safe to call twice. */
	abort(reason: unknown): void;
}

/** Accepts incoming streams until it is closed. */
export interface ByteStreamListener {
	/** Where peers can reach it, in the form that the platform's `connect` takes. */
	readonly address: StreamAddress;
	/** The next incoming stream; `undefined` once closed. */
	accept(): Promise<ByteStream | undefined>;
	/** Stops listening; streams already accepted live on. A unix socket's file is removed. */
	close(): Promise<void>;
}

/** A TCP endpoint (loopback only until encryption and authentication exist) or a unix-domain socket path. */
export type StreamAddress =
	| { readonly transport: "tcp"; readonly host: string; readonly port: number }
	| { readonly transport: "unix"; readonly path: string };
