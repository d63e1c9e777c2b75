/** What a move can fail with, and where it was when it failed. One class for every technique that hands a guest over. */

/** The phases of a move on the source, in order. Every phase has a deadline and can be cancelled up to `release`. */
export const MOVE_PHASES = [
	"check",
	"handshake",
	"set-up",
	"live",
	"pause",
	"final-round",
	"state",
	"verify",
	"release",
	"go",
	"confirm",
] as const;

/** What follows in a post-copy move: the guest runs at the target, this side serves its pages and then compares. */
export const PAGING_PHASES = ["paging"] as const;

/** See {@link MOVE_PHASES} and {@link PAGING_PHASES}. */
export type MovePhase = (typeof MOVE_PHASES)[number] | (typeof PAGING_PHASES)[number];

/**
 * | code | meaning |
 * | --- | --- |
 * | `refused` | the target cannot take this guest; the message names every obstacle |
 * | `cancelled` | the caller's AbortSignal |
 * | `deadline` | a phase did not end in time |
 * | `total-time` | the total-time limit passed and the caller wanted to stop then |
 * | `link-lost` | the link broke or was dropped |
 * | `protocol` | the peer sent something that its state does not allow, or that is malformed |
 * | `peer` | the peer gave up; its words are in the message |
 * | `corrupt` | a page, the state or the digest is not what was sent; `pageIndex` names the page where one is known |
 * | `guest` | the guest failed: no pause point in time, state that cannot be captured, out of room; see `cause` |
 * | `lease` | the right to run could not be given up or taken |
 * | `store` | the move could not be recorded durably |
 */
export type MoveErrorCode =
	| "refused"
	| "cancelled"
	| "deadline"
	| "total-time"
	| "link-lost"
	| "protocol"
	| "peer"
	| "corrupt"
	| "guest"
	| "lease"
	| "store";

/** The failure of a move. Whom the guest belongs to now is said by the result that carries it. */
export class MoveError extends Error {
	override readonly name = "MoveError";
	readonly code: MoveErrorCode;
	readonly phase: MovePhase | undefined;
	/** The page that a verification failed on. */
	readonly pageIndex: number | undefined;
	constructor(
		code: MoveErrorCode,
		message: string,
		details: { phase?: MovePhase | undefined; pageIndex?: number | undefined; cause?: unknown } = {},
	) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.phase = details.phase;
		this.pageIndex = details.pageIndex;
	}
}
