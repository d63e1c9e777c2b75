// What can go wrong with QEMU itself, beside what can go wrong with any guest (ports/guest.ts).

/** Why QEMU, or what it runs, cannot be used. */
export type QemuErrorCode =
	| "not-installed"
	| "exited"
	| "no-answer"
	| "command"
	| "not-booted"
	| "no-file"
	| "no-room"
	| "network-taken"
	| "no-accelerator"
	| "no-soft-dirty";

/**
 * A failure of QEMU or of what was given to it. The message says what to do.
 *
 * | code | meaning |
 * | --- | --- |
 * | `not-installed` | the executable cannot be started |
 * | `exited` | its process has ended; {@link errorText} has what it said |
 * | `no-answer` | it runs, and does not answer in time |
 * | `command` | it refused a command; the message has its words |
 * | `not-booted` | the machine inside has not said what it was to say; {@link errorText} has its last lines |
 * | `no-file` | a kernel, an image or another file that the machine needs is not there |
 * | `no-room` | the folder for RAM files is smaller than the machine's memory; the message says what to do |
 * | `network-taken` | another machine runs with the same network (a port takes one); the machine that was to run stays paused, one that was being started is ended |
 * | `no-accelerator` | KVM was asked for, and no machine boots with it here |
 * | `no-soft-dirty` | soft-dirty marks were asked for, and cannot be trusted here; the message says why |
 */
export class QemuError extends Error {
	override readonly name = "QemuError";
	readonly code: QemuErrorCode;
	/** What QEMU wrote to standard error, or the machine to its console; may be empty. */
	readonly errorText: string;
	constructor(code: QemuErrorCode, message: string, errorText = "", cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
		this.errorText = errorText;
	}
}
