/** A process as the pages it touches, one after another: what runs while pages are missing. */

/** One touch. The same object is filled again and again: a run has millions. */
export interface Touch {
	page: number;
	write: boolean;
	/** CPU time from this touch to the next, in ms. */
	workMs: number;
}

/** See the head of this file. */
export interface Program {
	/** Fills `touch`. @returns false when the program has ended. */
	next(touch: Touch): boolean;
}

/** Lets programs run for a time with all pages present, each in turn; notes for each page when it was touched last. */
export function warmUp(programs: readonly Program[], touchesEach: number, lastUse: Float64Array): void {
	const touch: Touch = { page: 0, write: false, workMs: 0 };
	let uses = 0;
	// In small turns, as a scheduler would: so that recent pages of all of them are recent.
	const turn = 64;
	for (let done = 0; done < touchesEach; done += turn)
		for (const program of programs) for (let i = 0; i < turn && program.next(touch); i++) lastUse[touch.page] = ++uses;
}
