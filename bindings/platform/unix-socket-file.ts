/**
 * The file of a unix-domain socket outlives a listener that is killed, and then blocks its address. A file that nobody
 * listens on is replaced; a live one, and a file that is no socket, stays.
 *
 * Two listeners may find the same dead file at once. So a file is never removed on the word of a question asked earlier:
 * it is moved aside, asked again there (a socket is its inode, not its name), and put back if it has come to life.
 */
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { LinkError } from "../ports/link.ts";
import { listenRefused, systemCodeOf } from "./stream-errors.ts";

/** What a platform must do for it. Each rejects with the system's own error. */
export interface SocketFiles {
	/** Whether a socket is at `path`; a missing file rejects. */
	isSocket(path: string): Promise<boolean>;
	/** Connects and hangs up; resolves if somebody listens there. */
	knock(path: string): Promise<void>;
	rename(from: string, to: string): Promise<void>;
	/** A second name for the same file; rejects if `to` exists. */
	link(from: string, to: string): Promise<void>;
	remove(path: string): Promise<void>;
}

/**
 * Makes room at `path` after the system said that it is in use.
 * @throws {LinkError} `refused` when somebody listens there, or when the file is no socket.
 */
export async function removeDeadSocket(files: SocketFiles, path: string): Promise<void> {
	try {
		if (!(await files.isSocket(path)))
			throw refusal(path, "a file that is no socket is in the way; it was not touched");
		if (await isAlive(files, path)) throw refusal(path, "somebody listens there");
		const aside = `${path.slice(0, path.lastIndexOf("/") + 1)}.${crypto.randomUUID().slice(0, 8)}`;
		await files.rename(path, aside);
		if (await isAlive(files, aside)) {
			await files.link(aside, path);
			await files.remove(aside);
			throw refusal(path, "somebody has just begun to listen there");
		}
		await files.remove(aside);
	} catch (error) {
		// Somebody else removed the dead file first: then the way is free.
		if (systemCodeOf(error) !== "ENOENT") throw error;
	}
}

async function isAlive(files: SocketFiles, path: string): Promise<boolean> {
	try {
		await files.knock(path);
		return true;
	} catch (error) {
		if (systemCodeOf(error) === "ECONNREFUSED") return false;
		throw error;
	}
}

const refusal = (path: string, why: string): LinkError => {
	const address: StreamAddress = { transport: "unix", path };
	return listenRefused(address, why);
};
