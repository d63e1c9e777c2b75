/**
 * | code | meaning |
 * | --- | --- |
 * | `unknown-record` | a mandatory record that this version does not know |
 * | `too-large` | the payload is larger than its record's limit |
 * | `malformed` | the payload is not what its record consists of (UTF-8, JSON object, binary prefix) |
 * | `missing` | a required field is not there |
 * | `wrong-type` | a field has another type |
 * | `out-of-range` | a field's value, length or form is not allowed |
 */
export type WireErrorCode = "unknown-record" | "too-large" | "malformed" | "missing" | "wrong-type" | "out-of-range";

/**
 * A record from the peer that cannot be accepted. Nothing of it was used. The conversation cannot go on: the caller aborts
 * the link and keeps or discards its guest as the phase demands.
 */
export class WireError extends Error {
	override readonly name = "WireError";
	readonly code: WireErrorCode;
	/** The record's name, or `type N` for an unknown one. */
	readonly record: string;
	/** Path of the field, `layout.pageCount`; empty when the whole payload is meant. */
	readonly field: string;
	constructor(code: WireErrorCode, record: string, field: string, message: string) {
		super(`${field === "" ? record : `${record}.${field}`}: ${message}`);
		this.code = code;
		this.record = record;
		this.field = field;
	}
}
