/** Connecting on Deno. */
import type { ByteStream, StreamAddress } from "../../ports/byte-stream.ts";
import type { ConnectOptions } from "../../ports/platform.ts";
import { checkAddress } from "../addresses.ts";
import { connectRefused, streamAborted } from "../stream-errors.ts";
import { DenoByteStream } from "./byte-stream.ts";

/** See `Platform.connect`. */
export async function connect(address: StreamAddress, options: ConnectOptions = {}): Promise<ByteStream> {
	const checked = checkAddress(address, "connect");
	const { signal } = options;
	if (signal?.aborted) throw streamAborted(signal.reason);
	try {
		const conn = await abortable(openConn(checked), signal);
		if (isConnectedToItself(conn)) {
			conn.close();
			throw connectRefused(checked, "nobody listens there");
		}
		return new DenoByteStream(conn);
	} catch (error) {
		if (signal?.aborted) throw streamAborted(signal.reason);
		throw connectRefused(checked, error);
	}
}

async function openConn(address: StreamAddress): Promise<Deno.Conn> {
	if (address.transport === "unix") return Deno.connect({ transport: "unix", path: address.path });
	const conn = await Deno.connect({ transport: "tcp", hostname: address.host, port: address.port });
	conn.setNoDelay(true);
	return conn;
}

/** Deno's own signal knows TCP only: so a connection that comes too late is closed here, for both. */
function abortable(opening: Promise<Deno.Conn>, signal: AbortSignal | undefined): Promise<Deno.Conn> {
	if (signal === undefined) return opening;
	return new Promise((resolve, reject) => {
		const onAbort = () => reject(signal.reason);
		signal.addEventListener("abort", onAbort, { once: true });
		opening.then((conn) => {
			signal.removeEventListener("abort", onAbort);
			if (signal.aborted) conn.close();
			else resolve(conn);
		}, reject);
	});
}

/** The system may pick, for a connection to a free port of its own range, that very port: TCP then connects it to itself. */
function isConnectedToItself(conn: Deno.Conn): boolean {
	const { localAddr, remoteAddr } = conn;
	return (
		localAddr.transport === "tcp" &&
		remoteAddr.transport === "tcp" &&
		localAddr.port === remoteAddr.port &&
		localAddr.hostname === remoteAddr.hostname
	);
}
