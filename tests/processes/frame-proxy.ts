// Stands between source and target on loopback, sees the type of every frame, and stops at the one a test has named:
//   hold         this frame and all that follows, in both directions, stay here until `release` or `cut`
//   cut-before   the connection breaks, and the frame is lost
//   cut-after    the frame arrives, then the connection breaks
import { once } from "node:events";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";
import { FRAME_HEADER_BYTES } from "../../bindings/wire/frame.ts";
import { recordName } from "../../bindings/wire/record-types.ts";

/** Which frame, and what happens there. */
export interface Stop {
	readonly from: "source" | "target";
	/** The record's name, `batch` for instance. */
	readonly record: string;
	/** Which of them, from 1. */
	readonly nth?: number;
	readonly act: "hold" | "cut-before" | "cut-after";
}

const TYPE_OFFSET = 6;
const LENGTH_OFFSET = 12;

export class FrameProxy {
	readonly #server: Server;
	readonly #target: StreamAddress;
	readonly #sockets = new Set<Socket>();
	readonly #held: (() => void)[] = [];
	#stop: Stop | undefined;
	#seen = 0;
	#holding = false;
	#met: () => void = () => undefined;
	/** Resolves when the named frame is here. */
	met: Promise<void> = Promise.resolve();

	private constructor(server: Server, target: StreamAddress) {
		this.#server = server;
		this.#target = target;
		server.on("connection", (socket: Socket) => this.#join(socket));
	}

	static async open(target: StreamAddress, stop?: Stop): Promise<FrameProxy> {
		const server = createServer({ noDelay: true });
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
		const proxy = new FrameProxy(server, target);
		proxy.stopAt(stop);
		return proxy;
	}

	get address(): StreamAddress {
		const bound = this.#server.address();
		if (typeof bound !== "object" || bound === null) throw new Error("the proxy does not listen");
		return { transport: "tcp", host: "127.0.0.1", port: bound.port };
	}

	/** Names the frame to stop at. */
	stopAt(stop: Stop | undefined): void {
		this.#stop = stop;
		this.#seen = 0;
		this.met = new Promise((resolve) => {
			this.#met = resolve;
		});
	}

	/** Resolves at the frame. @throws Error if the move ends before: the test would wait for ever otherwise */
	async metDuring(moving: Promise<unknown>): Promise<void> {
		const over = moving.then((report) => {
			throw new Error(`the move ended before the frame came: ${JSON.stringify(report)}`);
		});
		await Promise.race([this.met, over]);
		over.catch(() => undefined); // the frame came first; the test looks at the move's end itself
	}

	/** Lets go what is held. */
	release(): void {
		this.#holding = false;
		for (const pass of this.#held.splice(0)) pass();
	}

	/** Breaks all connections; what is held is lost. */
	cut(): void {
		this.#holding = false;
		this.#held.length = 0;
		for (const socket of this.#sockets) socket.destroy();
	}

	close(): void {
		this.#server.close();
		this.cut();
	}

	#join(source: Socket): void {
		const { transport } = this.#target;
		const target = createConnection(
			transport === "tcp" ? { host: this.#target.host, port: this.#target.port } : { path: this.#target.path },
		);
		this.#pump("source", source, target);
		this.#pump("target", target, source);
	}

	#pump(from: Stop["from"], incoming: Socket, outgoing: Socket): void {
		let bytes = Buffer.alloc(0);
		this.#sockets.add(incoming);
		incoming.on("data", (chunk: Buffer) => {
			bytes = Buffer.concat([bytes, chunk]);
			for (let length = frameLength(bytes); length !== undefined; length = frameLength(bytes)) {
				this.#frame(from, bytes.subarray(0, length), incoming, outgoing);
				bytes = bytes.subarray(length);
			}
		});
		incoming.on("error", () => undefined); // its close follows
		incoming.on("close", () => {
			this.#sockets.delete(incoming);
			// What is held must not overtake the end, nor the end what is held.
			if (this.#holding) this.#held.push(() => outgoing.end());
			else outgoing.end();
		});
	}

	#frame(from: Stop["from"], frame: Buffer, incoming: Socket, outgoing: Socket): void {
		const name = recordName(frame.readUInt16LE(TYPE_OFFSET));
		const stop = this.#stop;
		const isIt = stop !== undefined && stop.from === from && stop.record === name && ++this.#seen === (stop.nth ?? 1);
		if (isIt && stop.act === "hold") this.#holding = true;
		if (this.#holding) this.#held.push(() => outgoing.write(frame));
		else if (isIt && stop.act === "cut-before") this.cut();
		else if (isIt) {
			outgoing.end(frame);
			incoming.destroy();
		} else outgoing.write(frame);
		if (isIt) this.#met();
	}
}

/** The length of the first frame, if all of it is here. */
function frameLength(bytes: Buffer): number | undefined {
	if (bytes.byteLength < FRAME_HEADER_BYTES) return undefined;
	const length = FRAME_HEADER_BYTES + bytes.readUInt32LE(LENGTH_OFFSET);
	return bytes.byteLength < length ? undefined : length;
}
