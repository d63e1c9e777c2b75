// A wasm guest's state as bytes, all lengths u32 little-endian:
//
//   version (1) │ length │ instance state (instance-state-format.ts) │ length │ what the program's capture() returned
import { GuestError } from "../../ports/guest.ts";

/** Version of this layout; also a fact that both sides of a move compare. */
export const STATE_VERSION = 1;

/** Both parts. */
export interface GuestStateParts {
	readonly instance: Uint8Array;
	readonly program: Uint8Array;
}

export function encodeGuestState({ instance, program }: GuestStateParts): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(12 + instance.byteLength + program.byteLength);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, STATE_VERSION, true);
	view.setUint32(4, instance.byteLength, true);
	bytes.set(instance, 8);
	view.setUint32(8 + instance.byteLength, program.byteLength, true);
	bytes.set(program, 12 + instance.byteLength);
	return bytes;
}

/** @throws GuestError `state` for bytes that are no state of this version */
export function decodeGuestState(bytes: Uint8Array): GuestStateParts {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const part = (at: number): Uint8Array => {
		const length = at + 4 <= bytes.byteLength ? view.getUint32(at, true) : -1;
		if (length < 0 || length > bytes.byteLength - at - 4)
			throw new GuestError("state", "the guest's state ends too early");
		return bytes.slice(at + 4, at + 4 + length);
	};
	const version = bytes.byteLength >= 4 ? view.getUint32(0, true) : undefined;
	if (version !== STATE_VERSION)
		throw new GuestError("state", `guest state of version ${version}, this release reads version ${STATE_VERSION}`);
	const instance = part(4);
	const program = part(8 + instance.byteLength);
	if (12 + instance.byteLength + program.byteLength !== bytes.byteLength)
		throw new GuestError("state", "bytes too many after the guest's state");
	return { instance, program };
}
