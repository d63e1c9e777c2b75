/** Listening on Node. */
import { chmodSync } from "node:fs";
import { link, lstat, rename, rm } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import type { ByteStream, ByteStreamListener, StreamAddress } from "../../ports/byte-stream.ts";
import type { LinkError } from "../../ports/link.ts";
import { checkAddress } from "../addresses.ts";
import { listenRefused, streamLost, systemCodeOf } from "../stream-errors.ts";
import { removeDeadSocket, type SocketFiles } from "../unix-socket-file.ts";
import { NodeByteStream } from "./byte-stream.ts";

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
	#isClosed = false;

	constructor(server: Server, address: StreamAddress) {
		this.address = address;
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
		// Frees the port and removes the socket's file before it returns; its callback would wait for accepted streams.
		this.#server.close();
		return Promise.resolve();
	}

	#take(socket: Socket): void {
		const acceptor = this.#acceptors.shift();
		if (acceptor === undefined && this.#waiting.length >= MAX_WAITING_STREAMS) {
			socket.destroy();
			return;
		}
		const stream = new NodeByteStream(socket);
		if (acceptor === undefined) this.#waiting.push(stream);
		else acceptor.resolve(stream);
	}
}

/** See `Platform.listen`. */
export async function listen(address: StreamAddress): Promise<ByteStreamListener> {
	const checked = checkAddress(address, "listen");
	try {
		return await bind(checked);
	} catch (error) {
		if (checked.transport === "tcp" || systemCodeOf(error) !== "EADDRINUSE") throw listenRefused(address, error);
	}
	await removeDeadSocket(socketFiles, checked.path);
	return bind(checked).catch((error) => {
		throw listenRefused(address, error);
	});
}

function bind(address: StreamAddress): Promise<ByteStreamListener> {
	return new Promise((resolve, reject) => {
		const server = createServer({ allowHalfOpen: true, noDelay: address.transport === "tcp" });
		server.once("error", reject);
		server.once("listening", () => {
			server.off("error", reject);
			resolve(new NodeListener(server, settled(server, address)));
		});
		if (address.transport === "tcp") server.listen({ host: address.host, port: address.port });
		else server.listen({ path: address.path });
	});
}

/** The address with the port that the system chose; a socket's file gets its permissions. */
function settled(server: Server, address: StreamAddress): StreamAddress {
	if (address.transport === "unix") {
		chmodSync(address.path, SOCKET_FILE_MODE);
		return address;
	}
	const bound = server.address();
	const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
	return { transport: "tcp", host: address.host, port };
}

const socketFiles: SocketFiles = {
	isSocket: async (path) => (await lstat(path)).isSocket(),
	knock: (path) =>
		new Promise((resolve, reject) => {
			const socket = createConnection({ path });
			socket.once("error", reject);
			socket.once("connect", () => {
				socket.destroy();
				resolve();
			});
		}),
	rename,
	link,
	remove: (path) => rm(path),
};
