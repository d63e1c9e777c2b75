// Device state as version 1 wrote it: JSON, and all arrays behind it.
//
//   u32 byte length of the description │ description: JSON │ padding to 8 │ arrays, each padded to 8
import { GuestError } from "../../ports/guest.ts";
import { kindOf, paddedTo8, readArray } from "./state-values.ts";

type Stored =
	| number
	| string
	| boolean
	| null
	| readonly Stored[]
	| { readonly array: string; readonly at: number; readonly byteLength: number };

/** What a state has, in the order of version 2. @throws {GuestError} `state`; what JSON throws */
export function readVersion1(pages: Uint8Array<ArrayBuffer>): unknown[] {
	if (pages.byteLength < 4) throw new GuestError("state", "device state ends too early");
	const byteLength = new DataView(pages.buffer, pages.byteOffset).getUint32(0, true);
	if (4 + byteLength > pages.byteLength) throw new GuestError("state", "device state ends too early");
	const text = new TextDecoder().decode(pages.subarray(4, 4 + byteLength));
	const description: Readonly<Record<string, Stored>> = JSON.parse(text); // each field is checked where it is used
	const arrays = pages.subarray(paddedTo8(4 + byteLength));
	const offset = BigInt.asUintN(64, BigInt(String(description.timeStampOffset)));
	return [
		revived(description.devices ?? null, arrays),
		description.lastResult,
		description.fpuStatus,
		description.mxcsr,
		Number(offset & 0xffff_ffffn),
		Number(offset >> 32n),
		description.serialInput,
		description.timeMs,
		description.steps,
		description.randomState,
	];
}

function revived(state: Stored, arrays: Uint8Array<ArrayBuffer>): unknown {
	if (state === null || typeof state !== "object") return state;
	if (isList(state)) return state.map((each) => revived(each, arrays));
	return readArray(kindOf(state.array), [arrays], { block: 0, at: state.at, byteLength: state.byteLength });
}

const isList = (state: Stored): state is readonly Stored[] => Array.isArray(state);
