/** A peer that sends whatever bytes a test wants, and the link that has to bear it. */
import { type LinkMemory, StreamLink, type StreamLinkOptions } from "../../../bindings/links/stream-link.ts";
import { type IncomingFrame, LinkError } from "../../../bindings/ports/link.ts";
import { encodeFrameHeader, type FrameHeader } from "../../../bindings/wire/frame.ts";
import { encodePreface, PROTOCOL_VERSIONS } from "../../../bindings/wire/link-records.ts";
import { LINK_TYPES } from "../../../bindings/wire/record-types.ts";
import { testHash64 } from "./hash.ts";
import { concat, MemoryStream } from "./memory-stream.ts";

/** A frame's bytes; `claims` overrides what the header says. */
export function frameBytes(
	lane: 0 | 1,
	type: number,
	sequence: number,
	payload: Uint8Array,
	claims: Partial<FrameHeader> = {},
): Uint8Array<ArrayBuffer> {
	const honest = {
		lane,
		type,
		sequence,
		payloadByteLength: payload.byteLength,
		checksum: testHash64(payload),
		modelledByteLength: 0,
	};
	return concat([encodeFrameHeader({ ...honest, ...claims }, testHash64), payload]);
}

/** An honest preface: frame 0 of the urgent lane. */
export function prefaceBytes(overrides: Partial<Parameters<typeof encodePreface>[0]> = {}): Uint8Array<ArrayBuffer> {
	const preface = encodePreface({
		protocol: PROTOCOL_VERSIONS,
		windowBytes: 4 << 20,
		urgentWindowBytes: 1 << 20,
		maximumFrameBytes: 4 << 20,
		...overrides,
	});
	return frameBytes(1, LINK_TYPES.preface, 0, preface);
}

/** What a link made of the bytes it was given. */
export interface Verdict {
	readonly frames: readonly { readonly type: number; readonly payload: Uint8Array; readonly checksum: bigint }[];
	readonly error: LinkError;
	readonly memory: LinkMemory;
	readonly link: StreamLink;
}

/** A link with a raw stream at its other end. */
export function openRaw(options: Partial<StreamLinkOptions> = {}): { link: StreamLink; raw: MemoryStream } {
	const [raw, stream] = MemoryStream.pair();
	return { raw, link: new StreamLink(stream, { hash64: testHash64, ...options }) };
}

/** Lets a link read these bytes and then the end of the stream; consumes each frame at once, unless told otherwise. */
export async function judge(
	bytes: Uint8Array,
	options: Partial<StreamLinkOptions> = {},
	consume: (frame: IncomingFrame) => void = (frame) => frame.release(),
): Promise<Verdict> {
	const { link, raw } = openRaw(options);
	await raw.write([bytes]);
	await raw.close();
	const frames: { type: number; payload: Uint8Array; checksum: bigint }[] = [];
	for (;;) {
		try {
			const frame = await link.receive();
			frames.push({ type: frame.type, payload: frame.payload.slice(), checksum: frame.checksum });
			consume(frame);
		} catch (error) {
			if (!(error instanceof LinkError)) throw error;
			return { frames, error, memory: link.memory, link };
		}
	}
}
