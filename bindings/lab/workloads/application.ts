/**
 * A server, a client or a compiler as the pages it touches: a cursor that walks runs of neighbours, now and then jumping to
 * another place, mostly within a part that is in use at the moment. One shape for all, parameters in the open.
 *
 * | parameter | meaning |
 * | --- | --- |
 * | pageCount | pages it uses |
 * | hotPages, hotShare | a part of them, and the share of jumps that go there |
 * | runPages | mean length of a walk: locality, the parameter that PC-5 fits |
 * | writeShare | share of walks that write |
 * | workMs | CPU time per page |
 */
import type { Random } from "../../ports/random.ts";
import type { Program, Touch } from "../program.ts";

/** See the head of this file. */
export interface ApplicationOptions {
	readonly firstPage: number;
	readonly pageCount: number;
	readonly hotPages: number;
	readonly hotShare: number;
	readonly runPages: number;
	readonly writeShare: number;
	readonly workMs: number;
	readonly random: Random;
}

/** See the head of this file. */
export class Application implements Program {
	readonly #options: ApplicationOptions;
	#page = 0;
	#left = 0;
	#write = false;

	constructor(options: ApplicationOptions) {
		this.#options = options;
	}

	next(touch: Touch): boolean {
		const { firstPage, pageCount, workMs } = this.#options;
		if (this.#left === 0) this.#jump();
		touch.page = firstPage + this.#page;
		touch.write = this.#write;
		touch.workMs = workMs;
		this.#page = (this.#page + 1) % pageCount;
		this.#left--;
		return true;
	}

	#jump(): void {
		const { pageCount, hotPages, hotShare, runPages, writeShare } = this.#options;
		const span = this.#draw() < hotShare ? hotPages : pageCount;
		this.#page = Math.floor(this.#draw() * span);
		this.#left = 1 + Math.floor(this.#draw() * (2 * runPages - 1));
		this.#write = this.#draw() < writeShare;
	}

	#draw(): number {
		return this.#options.random.nextU32() / 2 ** 32;
	}
}
