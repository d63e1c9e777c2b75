// How a start waits until the system inside a machine has come up: for a line on its console.
import type { Clock } from "../ports/clock.ts";

/** What a start may wait for. */
export interface BootOptions {
	/** What the machine says on its console when it is up, as whole lines without their ends; the start waits for such a line. */
	readonly booted?: (line: string) => boolean;
	/** How long it may take to say so, in ms of the clock port: 120 s if left out, which Linux needs on a busy machine. */
	readonly bootMs?: number;
}

/** Six seconds on a quiet machine, a minute on a busy one. */
export const BOOT_MS = 120_000;
/** Of what a machine has said that did not come up. */
export const LAST_LINES = 20;
const QUOTED_LINES = 3;

/** A machine that is starting. */
export interface Booting {
	readonly clock: Clock;
	readonly booted: (line: string) => boolean;
	readonly bootMs: number;
	/** Calls `look` for each line, those before included. @returns stops that */
	follow(look: (line: string) => void): () => void;
	/** The last {@link LAST_LINES} that it has said, an unfinished one included. */
	said(): readonly string[];
	/** Resolves when the machine fails. */
	readonly failed: Promise<Error>;
}

/** Why a machine has not come up. */
export interface BootFailure {
	/** A sentence without its end. */
	readonly message: string;
	/** Its last lines. */
	readonly words: string;
	readonly cause: Error | undefined;
}

/** @returns nothing once it has booted. @throws what `booted` throws */
export async function untilBooted(booting: Booting): Promise<BootFailure | undefined> {
	const { clock, booted, bootMs, failed } = booting;
	const timer = new AbortController();
	let stop: () => void = () => undefined;
	const up = new Promise<"up">((resolve, reject) => {
		stop = booting.follow((line) => {
			try {
				if (booted(line)) resolve("up");
			} catch (error) {
				reject(error);
			}
		});
	});
	const late = clock.sleep(bootMs, timer.signal).then(
		() => undefined,
		() => undefined,
	);
	try {
		const first = await Promise.race([up, late, failed]);
		if (first === "up") return undefined;
		const lines = booting.said().filter((line) => line !== "");
		const quoted = lines.slice(-QUOTED_LINES).join(" / ");
		const last = lines.length === 0 ? "it has said nothing" : `its last words: ${quoted}`;
		const why = first === undefined ? `within ${bootMs} ms` : `before it ended (${first.message})`;
		return { message: `the machine did not come up ${why}; ${last}`, words: lines.join("\n"), cause: first };
	} finally {
		stop();
		timer.abort();
	}
}
