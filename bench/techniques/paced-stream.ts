// A byte stream that carries so many bytes per ms and no more: a network's rate over a loopback socket.
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";
import type { Clock } from "../../bindings/ports/clock.ts";

/** What the sender's socket would hold: writes are taken that far ahead of the wire. */
const BUFFER_BYTES = 64 * 1024;

/** Writes leave `stream` at this rate; reads are not held back. */
export function pacedStream(stream: ByteStream, bytesPerMs: number, clock: Clock): ByteStream {
	let freeAtMs = 0;
	let turn: Promise<void> = Promise.resolve();
	const write = async (parts: readonly Uint8Array[], modelled: number | undefined): Promise<void> => {
		const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
		freeAtMs = Math.max(clock.now(), freeAtMs) + byteLength / bytesPerMs;
		const waitMs = freeAtMs - clock.now() - BUFFER_BYTES / bytesPerMs;
		if (waitMs > 0) await clock.sleep(waitMs);
		await stream.write(parts, modelled);
	};
	return {
		write: (parts, modelled) => {
			const written = turn.then(() => write(parts, modelled));
			turn = written.catch(() => undefined);
			return written;
		},
		readInto: (target, wanted) => stream.readInto(target, wanted),
		close: () => turn.then(() => stream.close()),
		abort: (reason) => stream.abort(reason),
	};
}
