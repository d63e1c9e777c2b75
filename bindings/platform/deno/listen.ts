/** Listening on Deno. */
import type { ByteStream, ByteStreamListener, StreamAddress } from "../../ports/byte-stream.ts";
import { checkAddress } from "../addresses.ts";
import { listenRefused, streamLost } from "../stream-errors.ts";
import { removeDeadSocket, type SocketFiles } from "../unix-socket-file.ts";
import { DenoByteStream } from "./byte-stream.ts";

/** Its owner may connect, nobody else: whoever connects can read a guest's memory. */
const SOCKET_FILE_MODE = 0o600;

class DenoListener implements ByteStreamListener {
	readonly address: StreamAddress;
	readonly #listener: { accept(): Promise<Deno.Conn>; close(): void };
	/** Deno takes one accept at a time. */
	#lastAccept: Promise<unknown> = Promise.resolve();
	#isClosed = false;

	constructor(listener: { accept(): Promise<Deno.Conn>; close(): void }, address: StreamAddress) {
		this.address = address;
		this.#listener = listener;
	}

	accept(): Promise<ByteStream | undefined> {
		const accepted = this.#lastAccept.then(() => this.#acceptOne());
		this.#lastAccept = accepted.catch(() => {}); // its caller sees it; the next accept tries again
		return accepted;
	}

	close(): Promise<void> {
		if (this.#isClosed) return Promise.resolve();
		this.#isClosed = true;
		this.#listener.close();
		if (this.address.transport === "unix") removeIfThere(this.address.path);
		return Promise.resolve();
	}

	async #acceptOne(): Promise<ByteStream | undefined> {
		if (this.#isClosed) return undefined;
		try {
			return new DenoByteStream(await this.#listener.accept());
		} catch (error) {
			if (this.#isClosed) return undefined;
			throw streamLost(error);
		}
	}
}

/** See `Platform.listen`. */
export async function listen(address: StreamAddress): Promise<ByteStreamListener> {
	const checked = checkAddress(address, "listen");
	try {
		return bind(checked);
	} catch (error) {
		if (checked.transport === "tcp" || !(error instanceof Deno.errors.AddrInUse)) throw listenRefused(address, error);
	}
	await removeDeadSocket(socketFiles, checked.path);
	try {
		return bind(checked);
	} catch (error) {
		throw listenRefused(address, error);
	}
}

function bind(address: StreamAddress): ByteStreamListener {
	if (address.transport === "unix") {
		const listener = Deno.listen({ transport: "unix", path: address.path });
		Deno.chmodSync(address.path, SOCKET_FILE_MODE);
		return new DenoListener(listener, address);
	}
	const listener = Deno.listen({ transport: "tcp", hostname: address.host, port: address.port });
	const accept = async () => {
		const conn = await listener.accept();
		conn.setNoDelay(true);
		return conn;
	};
	const close = () => listener.close();
	return new DenoListener({ accept, close }, { transport: "tcp", host: address.host, port: listener.addr.port });
}

function removeIfThere(path: string): void {
	try {
		Deno.removeSync(path);
	} catch (error) {
		if (!(error instanceof Deno.errors.NotFound)) throw error;
	}
}

const socketFiles: SocketFiles = {
	isSocket: async (path) => (await Deno.lstat(path)).isSocket === true,
	knock: async (path) => (await Deno.connect({ transport: "unix", path })).close(),
	rename: Deno.rename,
	link: Deno.link,
	remove: (path) => Deno.remove(path),
};
