/**
 * A guest that can run while pages are missing: it stops where it touches one, and goes on when the page is there.
 *
 *   target:  setUp(faulting) ─▶ state.restore ─▶ faulting.begin(missing) ─▶ resume ─▶ … install … ─▶ faulting.end
 *
 * Only what a guest touches through its own instructions is seen. Host code that reads or writes guest memory must say so
 * (`touch`), or it reads zeros without an error; a guest whose host access is not declared is no faulting guest.
 */
import type { EncodedBatch, Guest, PageBits } from "./guest.ts";

/** See the head of this file. */
export interface FaultingGuest extends Guest {
	readonly faulting: FaultControl;
}

/** A guest that can be the source of post-copy, whatever it can do as a target: every {@link FaultingGuest} is one. */
export interface LeavingGuest extends Guest {
	readonly leaving: LeaveControl;
}

/** What a source must say before it is left with its pages. */
export interface LeaveControl {
	/**
	 * Pages that this guest cannot fault on (its host touches them without saying so, or they hold what the switch itself
	 * needs): they travel inside the switch. On the source. Empty for most guests.
	 */
	pinned(): Promise<PageBits>;
}

/** What a guest says as a source of post-copy; `undefined` if it cannot be one. */
export function leavingOf(guest: Guest): LeaveControl | undefined {
	const leaves = (other: Guest): other is LeavingGuest => "leaving" in other;
	return isFaultingGuest(guest) ? guest.faulting : leaves(guest) ? guest.leaving : undefined;
}

/** Missing pages of one guest. */
export interface FaultControl extends LeaveControl {
	/**
	 * Set: what a paused target is told by `pages.apply`, `state.restore`, {@link begin} and {@link end} takes effect in the order
	 * of the calls, whether or not the answers are waited for in between. A guest in a worker then wakes up once for a switch.
	 */
	readonly inOrder?: boolean;
	/**
	 * On a paused target: these pages are missing from now on.
	 * @param onFault - called once per page and touch that has to wait, on this side's thread, while the guest is stopped.
	 */
	begin(missing: PageBits, onFault: (pageIndex: number) => void): Promise<void>;
	/**
	 * Installs those pages of a batch that are still missing, while the guest runs or waits; each is verified first, and
	 * none is ever installed twice. Resolves once they are installed, which for a guest in the middle of a long call may be
	 * at its next miss or at the call's end; the batch's buffer may be reused as soon as `taken` is called.
	 * @throws {BatchError} (engine/batch.ts) naming the page; nothing of the batch was installed.
	 */
	install(batch: EncodedBatch, taken: () => void): Promise<InstalledPages>;
	/**
	 * Says that nothing is missing (any more): checks detach at the next pause point. Also called without {@link begin}, when
	 * a target that was set up for faults turns out to owe nothing.
	 * @throws {GuestError} `state` if pages are missing.
	 */
	end(): Promise<void>;
	/** What the guest has waited for since {@link begin}. */
	faultReport(): FaultReport;
}

/** What {@link FaultControl.install} did. */
export interface InstalledPages {
	/** Pages that were missing and now are not. */
	readonly pageIndices: Uint32Array;
	/** 16 bytes a page. */
	readonly hashes: Uint8Array;
	/** Pages of the batch that had been installed before. */
	readonly duplicates: number;
}

/** How faults were felt. */
export interface FaultReport {
	/** Touches that had to wait for a page. */
	readonly faults: number;
	/** Touches of a page that had come but was not installed yet: no wait for the network. */
	readonly minorFaults: number;
	/** Time the guest has stood still for pages, in ms. */
	readonly blockedMs: number;
	/** Each wait, in ms, oldest first; at most the first {@link MAX_FAULT_SAMPLES}. */
	readonly latenciesMs: readonly number[];
	/**
	 * Of the pages that were missing at {@link FaultControl.begin}: how many the guest has touched since, by a wait or after
	 * they had come, up to {@link FaultControl.end}. Absent where the guest cannot tell; then nothing is known of pages that came in vain.
	 */
	readonly touchedPages?: number;
}

/** Waits that are kept one by one: 64 Ki samples are half a megabyte, and more tell nothing new. */
export const MAX_FAULT_SAMPLES = 65_536;

/** A guest that is no {@link FaultingGuest}, and says why: for the message of a refusal. */
export interface UnfaultingGuest extends Guest {
	readonly faultingObstacle: string;
}

/** Why a guest cannot run while pages are missing, in words that go on after its kind. */
export function whyNotFaulting(guest: Guest): string {
	const says = (other: Guest): other is UnfaultingGuest => "faultingObstacle" in other;
	return says(guest)
		? `cannot run while pages are missing: ${guest.faultingObstacle}`
		: "cannot run while pages are missing";
}

/** Whether a guest is a {@link FaultingGuest}. */
export function isFaultingGuest(guest: Guest): guest is FaultingGuest {
	return "faulting" in guest;
}
