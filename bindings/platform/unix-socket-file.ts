/**
 * The file of a unix-domain socket outlives a listener that is killed, and then blocks its address. A file that nobody
 * listens on is replaced; a live one, and a file that is no socket, stays.
 *
 * Several listeners may find the same dead file at once, and a file cannot be removed on condition that it is still the
 * dead one. So a listener binds a name of its own first, and publishes that socket:
 *   1. link own name → path: the usual case; never overwrites
 *   2. path exists and is dead: publish the same socket, by these same steps, as *claim* on that dead file (a name made
 *      of its inode number): only one live listener can hold it, and a claim whose holder died is a dead socket again
 *   3. look again that path is still that dead file, and rename claim → path
 * While a claim is held nobody else changes the dead file, so between 3's look and its rename nothing can happen. The path
 * leads to a socket that listens, with its final permissions, from the moment it exists.
 */
import type { LinkError } from "../ports/link.ts";
import { MAX_UNIX_PATH_BYTES } from "./addresses.ts";
import { listenRefused, systemCodeOf } from "./stream-errors.ts";

/** What a platform must do for it. Each rejects with the system's own error. */
export interface SocketFiles {
	/** The inode number of what is at `path` (not followed, if it is a link), and whether that is a socket. */
	inspect(path: string): Promise<{ readonly inode: number; readonly isSocket: boolean }>;
	/** Connects and hangs up; resolves if somebody listens there. */
	knock(path: string): Promise<void>;
	/** A second name for the same file; rejects `EEXIST`. */
	link(from: string, to: string): Promise<void>;
	/** Moves `from` over `to`. */
	rename(from: string, to: string): Promise<void>;
	remove(path: string): Promise<void>;
}

/**
 * A name to bind first, in the folder of `path`.
 * @throws {LinkError} `refused` when the folder leaves no room for such names.
 */
export const ownSocketPath = (path: string): string => neighbour(path, crypto.randomUUID().slice(0, 13));

/**
 * Makes the socket that listens at `own` reachable at `path`, and takes its own name away.
 * @throws {LinkError} `refused` when somebody listens there, or when the file is no socket; the system's error otherwise.
 */
export async function publishSocket(files: SocketFiles, own: string, path: string): Promise<void> {
	try {
		await publish(files, own, path, "somebody listens there");
	} finally {
		await files.remove(own);
	}
}

async function publish(files: SocketFiles, own: string, path: string, whenAlive: string): Promise<void> {
	for (;;) {
		try {
			return await files.link(own, path);
		} catch (error) {
			if (systemCodeOf(error) !== "EEXIST") throw error;
		}
		const dead = await deadInode(files, path, whenAlive);
		if (dead === undefined) continue;
		const claim = neighbour(path, dead.toString(36));
		await publish(files, own, claim, "somebody else is just taking the place of a dead listener");
		try {
			if ((await deadInode(files, path, whenAlive)) === dead) return await files.rename(claim, path);
		} catch (error) {
			await files.remove(claim);
			throw error;
		}
		await files.remove(claim);
	}
}

/** The inode of a socket nobody listens on; `undefined` if nothing is there. */
async function deadInode(files: SocketFiles, path: string, whenAlive: string): Promise<number | undefined> {
	try {
		const { inode, isSocket } = await files.inspect(path);
		if (!isSocket) throw refusal(path, "a file that is no socket is in the way; it was not touched");
		try {
			await files.knock(path);
		} catch (error) {
			const code = systemCodeOf(error);
			if (code === "ECONNREFUSED") return inode;
			// Too many at its door: it lives.
			if (code !== "EAGAIN") throw error;
		}
		throw refusal(path, whenAlive);
	} catch (error) {
		if (systemCodeOf(error) === "ENOENT") return undefined;
		throw error;
	}
}

function neighbour(path: string, name: string): string {
	const neighbouring = `${path.slice(0, path.lastIndexOf("/") + 1)}.${name}`;
	if (new TextEncoder().encode(neighbouring).byteLength > MAX_UNIX_PATH_BYTES)
		throw refusal(path, "its folder's path is too long for a listener's working names beside it; use a shorter one");
	return neighbouring;
}

const refusal = (path: string, why: string): LinkError => listenRefused({ transport: "unix", path }, why);
