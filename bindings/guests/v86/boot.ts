// How a start waits until the system inside has come up: for a line on its serial port. What is said meanwhile stays for whoever
// listens first.
import type { Clock } from "../../ports/clock.ts";
import type { Guest, GuestError } from "../../ports/guest.ts";
import { V86Error } from "./errors.ts";
import type { SerialPort } from "./serial-port.ts";

/** What a start may wait for. */
export interface V86BootOptions {
	/** What the machine says on its serial port when it is up, as whole lines without their ends; the start waits for such a line. */
	readonly booted?: (line: string) => boolean;
	/** How long it may take to say so, in ms of the clock port: 120 s if left out, which Linux needs on a busy machine. */
	readonly bootMs?: number;
}

/** Six seconds on a quiet machine, a minute on a busy one. */
const BOOT_MS = 120_000;
/** Of what a machine has said that did not come up. */
const KEPT_LINES = 20;
const QUOTED_LINES = 3;

/** A machine that is about to run for the first time. */
interface Starting {
	readonly serial: SerialPort;
	/** Resolves when it fails. */
	readonly crashed: Promise<GuestError>;
	readonly clock: Clock;
	readonly options: V86BootOptions;
}

/**
 * Lets a guest run, and waits until it has booted where there is something to wait for; one that does not is discarded.
 * @throws {V86Error} `not-booted`; what `booted` throws
 */
export async function startOrDiscard(guest: Pick<Guest, "resume" | "discard">, starting: Starting): Promise<void> {
	try {
		const { booted, bootMs = BOOT_MS } = starting.options;
		if (!(bootMs > 0)) throw new RangeError(`bootMs: must be above 0, got ${bootMs}`);
		const waiting = booted === undefined ? undefined : untilBooted(starting, booted, bootMs);
		waiting?.catch(() => undefined); // awaited below, unless the guest cannot even run
		await guest.resume();
		await waiting;
	} catch (error) {
		await guest.discard();
		throw error;
	}
}

async function untilBooted(
	{ serial, crashed, clock }: Starting,
	booted: (line: string) => boolean,
	bootMs: number,
): Promise<void> {
	const timer = new AbortController();
	const lines: string[] = [];
	let partial = "";
	let stop: () => void = () => undefined;
	const said = new Promise<true>((resolve, reject) => {
		stop = serial.watch((text) => {
			const pieces = (partial + text).split("\n");
			partial = pieces.pop() ?? "";
			for (const piece of pieces) {
				const line = piece.replace(/\r+$/, "");
				lines.push(line);
				if (lines.length > KEPT_LINES) lines.shift();
				try {
					if (booted(line)) resolve(true);
				} catch (error) {
					reject(error);
				}
			}
		});
	});
	const late = clock.sleep(bootMs, timer.signal).then(
		() => undefined,
		() => undefined,
	);
	try {
		const first = await Promise.race([said, late, crashed]);
		if (first === true) return;
		const words = [...lines, partial].filter((line) => line !== "");
		const last =
			words.length === 0 ? "it has said nothing" : `its last words: ${words.slice(-QUOTED_LINES).join(" / ")}`;
		const why = first === undefined ? `within ${bootMs} ms` : `before it ended (${first.message})`;
		throw new V86Error(
			"not-booted",
			`the machine did not come up ${why}; ${last}. Look at firmware and command line (console=ttyS0), or raise bootMs`,
			words.join("\n"),
			first,
		);
	} finally {
		stop();
		timer.abort();
	}
}
