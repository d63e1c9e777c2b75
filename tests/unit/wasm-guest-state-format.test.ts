import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeGuestState, encodeGuestState } from "../../bindings/guests/wasm/state-format.ts";
import { GuestError } from "../../bindings/ports/guest.ts";

const test = suite("wasm guest: state format");
const parts = { instance: Uint8Array.of(1, 2, 3), program: Uint8Array.of(4, 5) };

test("both parts survive, in a view of a larger buffer too", () => {
	const bytes = encodeGuestState(parts);
	assert.equal(decodeGuestState(bytes), parts);
	const shifted = new Uint8Array(bytes.byteLength + 9);
	shifted.set(bytes, 5);
	assert.equal(decodeGuestState(shifted.subarray(5, 5 + bytes.byteLength)), parts);
	const empty = { instance: new Uint8Array(0), program: new Uint8Array(0) };
	assert.equal(decodeGuestState(encodeGuestState(empty)), empty);
});

test("any other length, and any other version, is refused as state", () => {
	const bytes = encodeGuestState(parts);
	const refuse = (damaged: Uint8Array, what: string): void => {
		try {
			decodeGuestState(damaged);
			assert.unreachable(what);
		} catch (error) {
			assert.instance(error, GuestError, what);
			assert.is((error as GuestError).code, "state");
		}
	};
	for (let length = 0; length < bytes.byteLength; length++) refuse(bytes.subarray(0, length), `cut at ${length}`);
	refuse(Uint8Array.from([...bytes, 0]), "a byte too many");
	for (const at of [0, 3, 4, 7, 11, 14]) {
		const damaged = bytes.slice();
		damaged[at] = 0xff;
		refuse(damaged, `byte ${at}`);
	}
});

test.run();
