/** Listening on Node. */
import { lstatSync, unlinkSync } from "node:fs";
import { chmod, link, lstat, rename, unlink } from "node:fs/promises";
import { createConnection, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { ByteStream, ByteStreamListener, StreamAddress } from "../../ports/byte-stream.ts";
import { LinkError } from "../../ports/link.ts";
import { checkAddress } from "../addresses.ts";
import { listenRefused, streamLost } from "../stream-errors.ts";
import { ownSocketPath, publishSocket, type SocketFiles } from "../unix-socket-file.ts";
import { NodeByteStream } from "./byte-stream.ts";
import { readDirectly } from "./intake.ts";

/** Streams that wait to be accepted; further ones are dropped. Each costs a file descriptor, and loopback peers can retry. */
const MAX_WAITING_STREAMS = 128;

/** Its owner may connect, nobody else: whoever connects can read a guest's memory. */
const SOCKET_FILE_MODE = 0o600;

interface Acceptor {
	readonly resolve: (stream: ByteStream | undefined) => void;
	readonly reject: (error: LinkError) => void;
}

class NodeListener implements ByteStreamListener {
	readonly address: StreamAddress;
	readonly #server: Server;
	readonly #waiting: NodeByteStream[] = [];
	readonly #acceptors: Acceptor[] = [];
	readonly #removeFile: () => void;
	#isClosed = false;

	constructor(server: Server, address: StreamAddress, removeFile: () => void) {
		this.address = address;
		this.#removeFile = removeFile;
		this.#server = server;
		server.on("connection", (socket: Socket) => this.#take(socket));
		// No file descriptor left, say: the connection is lost, the listener lives on.
		server.on("error", (error) => this.#acceptors.shift()?.reject(streamLost(error)));
	}

	accept(): Promise<ByteStream | undefined> {
		const stream = this.#waiting.shift();
		if (stream !== undefined || this.#isClosed) return Promise.resolve(stream);
		return new Promise((resolve, reject) => this.#acceptors.push({ resolve, reject }));
	}

	close(): Promise<void> {
		if (this.#isClosed) return Promise.resolve();
		this.#isClosed = true;
		for (const acceptor of this.#acceptors.splice(0)) acceptor.resolve(undefined);
		for (const stream of this.#waiting.splice(0)) stream.abort("the listener was closed");
		this.#removeFile();
		// Frees the port before it returns; its callback would wait for accepted streams.
		this.#server.close();
		return Promise.resolve();
	}

	#take(socket: Socket): void {
		const acceptor = this.#acceptors.shift();
		if (acceptor === undefined && this.#waiting.length >= MAX_WAITING_STREAMS) {
			socket.destroy();
			return;
		}
		const { socket: own, intake } = readDirectly(socket);
		const stream = new NodeByteStream(own, intake);
		if (acceptor === undefined) this.#waiting.push(stream);
		else acceptor.resolve(stream);
	}
}

/** See `Platform.listen`. */
export async function listen(address: StreamAddress): Promise<ByteStreamListener> {
	const checked = checkAddress(address, "listen");
	try {
		return checked.transport === "tcp" ? await listenTcp(checked.host, checked.port) : await listenUnix(checked.path);
	} catch (error) {
		throw error instanceof LinkError ? error : listenRefused(address, error);
	}
}

async function listenTcp(host: string, port: number): Promise<ByteStreamListener> {
	const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
	await bind(server, { host, port });
	const bound = server.address();
	const realPort = typeof bound === "object" && bound !== null ? bound.port : port;
	return new NodeListener(server, { transport: "tcp", host, port: realPort }, () => {});
}

async function listenUnix(path: string): Promise<ByteStreamListener> {
	const own = ownSocketPath(path);
	const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
	await bind(server, { path: own });
	try {
		await chmod(own, SOCKET_FILE_MODE);
		const { ino } = await lstat(own);
		await publishSocket(socketFiles, own, path);
		return new NodeListener(server, { transport: "unix", path }, () => removeSocket(path, ino));
	} catch (error) {
		server.close();
		throw error;
	}
}

function bind(server: Server, options: ListenOptions): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("error", reject);
		server.listen(options, () => {
			server.off("error", reject);
			resolve();
		});
	});
}

/** While we listen nobody takes the path over, so that between the look and the removal it stays ours. */
function removeSocket(path: string, inode: number): void {
	if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) unlinkSync(path);
}

const socketFiles: SocketFiles = {
	inspect: async (path) => {
		const file = await lstat(path);
		return { inode: file.ino, isSocket: file.isSocket() };
	},
	knock: (path) =>
		new Promise((resolve, reject) => {
			const socket = createConnection({ path });
			socket.once("error", reject);
			socket.once("connect", () => {
				socket.destroy();
				resolve();
			});
		}),
	link,
	rename,
	remove: unlink,
};
