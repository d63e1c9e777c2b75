// Lines of text out of a byte stream: QMP's messages and a machine's console.
import type { ByteStream } from "../../ports/byte-stream.ts";

/** One read: QMP's usual answers come whole. */
const READ_BYTES = 64 * 1024;
/** A longer line is handed out in pieces: no peer can be a reason to run out of memory. */
const MAX_LINE_CHARACTERS = 16 * 1024 * 1024;

/**
 * The stream's lines without their ends; what stands behind the last end comes when the stream ends.
 * @param onText - is called with all of it, as it comes
 * @throws LinkError
 */
export async function* textLines(
	stream: ByteStream,
	onText?: (text: string) => void,
): AsyncGenerator<string, void, undefined> {
	const decoder = new TextDecoder();
	const room = new Uint8Array(READ_BYTES);
	let partial = "";
	for (;;) {
		const count = await stream.readInto(room);
		if (count === 0) break;
		const text = decoder.decode(room.subarray(0, count), { stream: true });
		onText?.(text);
		const pieces = (partial + text).split("\n");
		partial = pieces.pop() ?? "";
		for (const line of pieces) yield line.replace(/\r+$/, "");
		if (partial.length >= MAX_LINE_CHARACTERS) {
			yield partial;
			partial = "";
		}
	}
	partial += decoder.decode();
	if (partial !== "") yield partial;
}
