/** What is left to do when the guest is somebody else's: all of it, whatever fails on the way. */
import type { MoveError } from "./move-error.ts";
import { toMoveError } from "./phases.ts";

/** Does all of this in order. @returns the first failure */
export async function tryAll(...steps: readonly (() => unknown)[]): Promise<MoveError | undefined> {
	let trouble: MoveError | undefined;
	for (const step of steps)
		try {
			await step();
		} catch (error) {
			trouble ??= toMoveError(error, undefined, undefined);
		}
	return trouble;
}
