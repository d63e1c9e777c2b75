/** Listening on Deno. */
import type { ByteStream, ByteStreamListener, StreamAddress } from "../../ports/byte-stream.ts";
import { LinkError } from "../../ports/link.ts";
import { checkAddress } from "../addresses.ts";
import { listenRefused, streamLost } from "../stream-errors.ts";
import { ownSocketPath, publishSocket, type SocketFiles } from "../unix-socket-file.ts";
import { DenoByteStream } from "./byte-stream.ts";

/** Its owner may connect, nobody else: whoever connects can read a guest's memory. */
const SOCKET_FILE_MODE = 0o600;

/** What is the same in Deno's TCP and unix listeners. */
interface ConnSource {
	accept(): Promise<Deno.Conn>;
	close(): void;
}

class DenoListener implements ByteStreamListener {
	readonly address: StreamAddress;
	readonly #listener: ConnSource;
	/** Deno takes one accept at a time. */
	#lastAccept: Promise<unknown> = Promise.resolve();
	readonly #removeFile: () => void;
	#isClosed = false;

	constructor(listener: ConnSource, address: StreamAddress, removeFile: () => void) {
		this.address = address;
		this.#removeFile = removeFile;
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
		this.#removeFile();
		this.#listener.close();
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
		return checked.transport === "tcp" ? listenTcp(checked.host, checked.port) : await listenUnix(checked.path);
	} catch (error) {
		throw error instanceof LinkError ? error : listenRefused(address, error);
	}
}

function listenTcp(host: string, port: number): ByteStreamListener {
	const listener = Deno.listen({ transport: "tcp", hostname: host, port });
	const accept = async () => {
		const conn = await listener.accept();
		conn.setNoDelay(true);
		return conn;
	};
	const address: StreamAddress = { transport: "tcp", host, port: listener.addr.port };
	return new DenoListener({ accept, close: () => listener.close() }, address, () => {});
}

async function listenUnix(path: string): Promise<ByteStreamListener> {
	const own = ownSocketPath(path);
	const listener = Deno.listen({ transport: "unix", path: own });
	try {
		await Deno.chmod(own, SOCKET_FILE_MODE);
		const { ino } = await Deno.lstat(own);
		await publishSocket(socketFiles, own, path);
		return new DenoListener(listener, { transport: "unix", path }, () => removeSocket(path, ino));
	} catch (error) {
		listener.close();
		throw error;
	}
}

/** While we listen nobody takes the path over, so that between the look and the removal it stays ours. */
function removeSocket(path: string, inode: number | null): void {
	try {
		if (Deno.lstatSync(path).ino === inode) Deno.removeSync(path);
	} catch (error) {
		if (!(error instanceof Deno.errors.NotFound)) throw error;
	}
}

const socketFiles: SocketFiles = {
	inspect: async (path) => {
		const file = await Deno.lstat(path);
		return { inode: file.ino ?? 0, isSocket: file.isSocket === true };
	},
	knock: async (path) => (await Deno.connect({ transport: "unix", path })).close(),
	link: (from, to) => Deno.link(from, to),
	rename: (from, to) => Deno.rename(from, to),
	remove: (path) => Deno.remove(path),
};
