/**
 * What a process of `pageferry demo --guest v86|qemu` (machine-host.ts) needs of a machine: qemu-side.ts and v86-side.ts.
 *
 * Invariant: whatever a side has started is gone after {@link MachineSide.close}, and what it starts after its signal has
 * aborted ends itself.
 */
import type { Guest, GuestFactory } from "../ports/guest.ts";
import type { Platform } from "../ports/platform.ts";

/** One machine, or the room for one. */
export interface MachineSide {
	/** Starts the Linux. Resolves when its shell takes what is typed. */
	boot(heard: Heard): Promise<BootedMachine>;
	/**
	 * Gets ready to take a Linux in, whose console is heard from before it runs: not a character may be lost.
	 * @param faulting - whether it has to run before its pages have come
	 */
	standBy(heard: Heard, faulting: boolean): Promise<{ readonly factory: GuestFactory; readonly what: string }>;
	/** Ends its machines. Safe to call twice: between the calls one may have been started. */
	close(): Promise<void>;
}

/** Opens a side; `signal` aborts when the command has gone. */
export type OpenMachineSide = (platform: Platform, signal: AbortSignal) => MachineSide;

/** Takes what the machine has written on its console. */
export type Heard = (text: string) => void;

/** A Linux that waits for commands. */
export interface BootedMachine {
	readonly guest: Guest;
	/** For people: which one, how large, how it is followed. */
	readonly what: string;
	/** Types on its console. */
	type(text: string): Promise<void>;
}
