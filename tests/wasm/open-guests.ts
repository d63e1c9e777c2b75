// Guests that a test starts, and their end after it: a worker left behind would keep the test's process alive.
import { type StartWasmGuestOptions, startWasmGuest, type WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { guestPorts, programUrl } from "./guest-ports.ts";
import type { ScratchRequest } from "./scratch-program.ts";

const open: Guest[] = [];

/** Starts a program of tests/programs. */
export async function startGuest(program: string, options: Partial<StartWasmGuestOptions> = {}): Promise<WasmGuest> {
	return keep(await startWasmGuest({ ...(await guestPorts()), programUrl: programUrl(program), ...options }));
}

/** Remembers a guest for {@link discardGuests}. */
export function keep<Kind extends Guest>(guest: Kind): Kind {
	open.push(guest);
	return guest;
}

export async function discardGuests(): Promise<void> {
	for (const guest of open.splice(0)) await guest.discard();
}

/** A request that the scratch programs know. */
export function ask(guest: WasmGuest, request: ScratchRequest): Promise<unknown> {
	return guest.call(request);
}

/** @returns what a promise rejects with; fails the test if it resolves */
export async function rejection(work: Promise<unknown>): Promise<Error & { readonly code?: string }> {
	try {
		await work;
	} catch (error) {
		return error as Error;
	}
	throw new Error("nothing was thrown");
}
