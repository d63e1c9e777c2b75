/** Connecting on Node. */
import { createConnection, type OnReadOpts, type Socket } from "node:net";
import type { ByteStream, StreamAddress } from "../../ports/byte-stream.ts";
import type { ConnectOptions } from "../../ports/platform.ts";
import { checkAddress } from "../addresses.ts";
import { connectRefused, streamAborted } from "../stream-errors.ts";
import { NodeByteStream } from "./byte-stream.ts";
import { DirectIntake } from "./intake.ts";

/** See `Platform.connect`. */
export async function connect(address: StreamAddress, options: ConnectOptions = {}): Promise<ByteStream> {
	const checked = checkAddress(address, "connect");
	const { signal } = options;
	if (signal?.aborted) throw streamAborted(signal.reason);
	const intake = new DirectIntake();
	const socket = await openSocket(checked, intake.onread, signal);
	if (isConnectedToItself(socket)) {
		socket.destroy();
		throw connectRefused(checked, "nobody listens there");
	}
	return new NodeByteStream(socket, intake.attach(socket));
}

function openSocket(address: StreamAddress, onread: OnReadOpts, signal: AbortSignal | undefined): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket =
			address.transport === "unix"
				? createConnection({ path: address.path, allowHalfOpen: true, onread })
				: createConnection({ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true, onread });
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
