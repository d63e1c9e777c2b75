// What can go wrong between a wire, a process that holds a network, and the hosts of its guests.

/** Why there is no wire, or no port at it. */
export type WireErrorCode =
	| "no-wire"
	| "name-taken"
	| "port-taken"
	| "fenced"
	| "full"
	| "no-answer"
	| "protocol"
	| "closed";

/**
 * A failure at a wire. The message says what to do.
 *
 * | code | meaning |
 * | --- | --- |
 * | `no-wire` | no wire of this name runs here |
 * | `name-taken` | a wire of this name runs already |
 * | `port-taken` | a host with this port's name is connected already |
 * | `fenced` | somebody has cut this port off for good: its guest runs elsewhere |
 * | `full` | the wire has as many ports as it can hold |
 * | `no-answer` | something listens there and does not answer |
 * | `protocol` | the other side is not what it should be, or of another version |
 * | `closed` | this side has closed it |
 */
export class WireError extends Error {
	override readonly name = "WireError";
	readonly code: WireErrorCode;
	constructor(code: WireErrorCode, message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}
