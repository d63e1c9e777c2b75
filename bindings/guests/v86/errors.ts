// What can go wrong with v86's own machine, beside what can go wrong with any guest (ports/guest.ts).

/** Why a machine does not come up. */
export type V86ErrorCode = "firmware" | "not-booted";

/**
 * A failure of what a machine was given to boot from. The message says what to do; no guest is left.
 *
 * | code | meaning |
 * | --- | --- |
 * | `firmware` | BIOS, kernel or initramfs are not what they should be, or do not fit into the machine's RAM; nothing was started |
 * | `not-booted` | the machine has not said what it was to say; {@link errorText} has its last words |
 */
export class V86Error extends Error {
	override readonly name = "V86Error";
	readonly code: V86ErrorCode;
	/** What the machine wrote last to its serial port; may be empty. */
	readonly errorText: string;
	constructor(code: V86ErrorCode, message: string, errorText = "", cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
		this.errorText = errorText;
	}
}
