/** Connecting on Node. */
import { createConnection, type Socket } from "node:net";
import type { ByteStream, StreamAddress } from "../../ports/byte-stream.ts";
import type { ConnectOptions } from "../../ports/platform.ts";
import { checkAddress } from "../addresses.ts";
import { connectRefused, streamAborted } from "../stream-errors.ts";
import { NodeByteStream } from "./byte-stream.ts";

/** See `Platform.connect`. */
export async function connect(address: StreamAddress, options: ConnectOptions = {}): Promise<ByteStream> {
	const checked = checkAddress(address, "connect");
	const { signal } = options;
	if (signal?.aborted) throw streamAborted(signal.reason);
	const socket = await openSocket(checked, signal);
	if (isConnectedToItself(socket)) {
		socket.destroy();
		throw connectRefused(checked, "nobody listens there");
	}
	return new NodeByteStream(socket);
}

function openSocket(address: StreamAddress, signal: AbortSignal | undefined): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket =
			address.transport === "unix"
				? createConnection({ path: address.path, allowHalfOpen: true })
				: createConnection({ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true });
		const onAbort = () => {
			socket.destroy();
			reject(streamAborted(signal?.reason));
		};
		signal?.addEventListener("abort", onAbort, { once: true });
		// Stays attached: an error between this promise and its reader must not be an unhandled event.
		socket.on("error", (error) => {
			signal?.removeEventListener("abort", onAbort);
			reject(connectRefused(address, error));
		});
		socket.once("connect", () => {
			signal?.removeEventListener("abort", onAbort);
			resolve(socket);
		});
	});
}

/** The system may pick, for a connection to a free port of its own range, that very port: TCP then connects it to itself. */
const isConnectedToItself = (socket: Socket): boolean =>
	socket.localPort !== undefined &&
	socket.localPort === socket.remotePort &&
	socket.localAddress === socket.remoteAddress;
