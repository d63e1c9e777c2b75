/**
 * What a runtime offers, as one value: `nodePlatform()` and `denoPlatform()` build it, and code above `platform/` takes
 * the ports it needs from it.
 */
import type { ByteStream, ByteStreamListener, StreamAddress } from "./byte-stream.ts";
import type { Clock } from "./clock.ts";
import type { HostFiles } from "./host-files.ts";
import type { ProcessPort } from "./process.ts";
import type { Random } from "./random.ts";
import type { Store } from "./store.ts";
import type { WorkerPort } from "./worker.ts";

/** See the head of this file. */
export interface Platform {
	readonly runtime: "node" | "deno";
	readonly clock: Clock;
	readonly random: Random;
	readonly workers: WorkerPort;
	readonly processes: ProcessPort;
	readonly files: HostFiles;
	/**
	 * Connects to a listener on this machine: loopback or a unix-domain socket, nothing else until links are encrypted
	 * and peers are authenticated.
	 * @throws {LinkError} `refused` when nobody listens there or the address is not allowed; `aborted` with the signal's
	 *   reason as cause. RangeError for a port outside 1–65535.
	 */
	connect(address: StreamAddress, options?: ConnectOptions): Promise<ByteStream>;
	/**
	 * Listens on loopback (port 0: any free port) or on a unix-domain socket, whose file only this user may connect to.
	 * A socket file whose owner has died is replaced.
	 * @throws {LinkError} `refused` when the address is taken or not allowed. RangeError for a port outside 0–65535.
	 */
	listen(address: StreamAddress): Promise<ByteStreamListener>;
	/**
	 * Opens a folder as a store, making it if it does not exist, and removes what crashed writers left behind.
	 * @throws {StoreError} `invalid` when the folder holds something else, `full`, `failed`.
	 */
	openFolderStore(path: string): Promise<Store>;
}

/** See {@link Platform.connect}. */
export interface ConnectOptions {
	/** Gives up connecting. A connection that has been made is not touched by it any more. */
	readonly signal?: AbortSignal;
}
