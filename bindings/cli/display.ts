/** What the command shows while it works: steps, and a bar while a guest moves. All of it goes to standard error. */
import { Presets, SingleBar } from "cli-progress";
import type { MoveProgress } from "../migration/metrics.ts";
import { milliseconds, rate, whole } from "./figures.ts";

/** Where progress is shown. */
export interface Display {
	/** One line: who, and what happened. */
	step(who: string, what: string): void;
	/** How far a move is. */
	progress(progress: MoveProgress): void;
	/** The move is over, one way or the other. */
	progressEnd(): void;
}

/** The part of a stream that is used here. */
export interface Screen extends NodeJS.WritableStream {
	readonly isTTY?: boolean;
}

const LABEL_WIDTH = 8;

/** @returns a bar on a terminal, lines anywhere else */
export function createDisplay(screen: Screen): Display {
	return screen.isTTY === true ? new BarDisplay(screen) : new LineDisplay(screen);
}

function line(who: string, what: string): string {
	return `  ${who.padEnd(LABEL_WIDTH)} ${what}\n`;
}

function describe({
	phase,
	round,
	pendingPages,
	etaMs,
	bandwidthBytesPerMs,
	expectedDowntimeMs,
}: MoveProgress): string {
	if (phase !== "live") return phase;
	const left = `round ${round}, ${whole(pendingPages)} pages`;
	if (bandwidthBytesPerMs <= 0 || expectedDowntimeMs === undefined || etaMs === undefined) return `${left} left`;
	const time = `${(etaMs / 1000).toFixed(1)} s left`;
	return `${left}, ${time}, ${rate(bandwidthBytesPerMs)}, pausing now would cost ${milliseconds(expectedDowntimeMs)}`;
}

/** For terminals. */
class BarDisplay implements Display {
	readonly #screen: Screen;
	#bar: SingleBar | undefined;

	constructor(screen: Screen) {
		this.#screen = screen;
	}

	step(who: string, what: string): void {
		this.progressEnd();
		this.#screen.write(line(who, what));
	}

	progress(progress: MoveProgress): void {
		if (this.#bar === undefined) {
			const format = `${line("moving", "{bar} {percentage} % {what}").trimEnd()}`;
			this.#bar = new SingleBar(
				{ format, stream: this.#screen, barsize: 24, fps: 20, hideCursor: true, emptyOnZero: true, linewrap: false },
				Presets.shades_classic,
			);
			this.#bar.start(100, 0, { what: "" });
		}
		this.#bar.update(Math.floor(progress.fraction * 100), { what: describe(progress) });
	}

	progressEnd(): void {
		this.#bar?.stop();
		this.#bar = undefined;
	}
}

/** For files and pipes: a line per phase, per round and per tenth of the way. */
class LineDisplay implements Display {
	readonly #screen: Screen;
	#last = "";

	constructor(screen: Screen) {
		this.#screen = screen;
	}

	step(who: string, what: string): void {
		this.#screen.write(line(who, what));
	}

	progress(progress: MoveProgress): void {
		const place = `${progress.phase} ${progress.round} ${Math.floor(progress.fraction * 10)}`;
		if (place === this.#last) return;
		this.#last = place;
		this.#screen.write(line("moving", `${Math.floor(progress.fraction * 100)} % ${describe(progress)}`));
	}

	progressEnd(): void {
		this.#last = "";
	}
}
