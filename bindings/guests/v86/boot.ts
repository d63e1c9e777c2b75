// How a v86 guest starts: it runs, and where there is something to wait for, it has come up when the start is over. What is said
// meanwhile stays for whoever listens first.
import type { Clock } from "../../ports/clock.ts";
import type { Guest, GuestError } from "../../ports/guest.ts";
import { BOOT_MS, type BootOptions, LAST_LINES, untilBooted } from "../booting.ts";
import { V86Error } from "./errors.ts";
import type { SerialPort } from "./serial-port.ts";

/** A machine that is about to run for the first time. */
interface Starting {
	readonly serial: SerialPort;
	/** Resolves when it fails. */
	readonly crashed: Promise<GuestError>;
	readonly clock: Clock;
	readonly options: BootOptions;
}

/**
 * Lets a guest run, and waits until it has booted where there is something to wait for; one that does not is discarded.
 * @throws {V86Error} `not-booted`; what `booted` throws
 */
export async function startOrDiscard(guest: Pick<Guest, "resume" | "discard">, starting: Starting): Promise<void> {
	try {
		const { booted, bootMs = BOOT_MS } = starting.options;
		if (!(bootMs > 0)) throw new RangeError(`bootMs: must be above 0, got ${bootMs}`);
		const waiting = booted === undefined ? undefined : waitUntilBooted(starting, booted, bootMs);
		waiting?.catch(() => undefined); // awaited below, unless the guest cannot even run
		await guest.resume();
		await waiting;
	} catch (error) {
		await guest.discard();
		throw error;
	}
}

async function waitUntilBooted(
	{ serial, crashed, clock }: Starting,
	booted: (line: string) => boolean,
	bootMs: number,
): Promise<void> {
	const lines: string[] = [];
	let partial = "";
	const failure = await untilBooted({
		...{ clock, booted, bootMs, failed: crashed },
		follow: (look) =>
			serial.watch((text) => {
				const pieces = (partial + text).split("\n");
				partial = pieces.pop() ?? "";
				for (const piece of pieces) {
					const line = piece.replace(/\r+$/, "");
					lines.push(line);
					if (lines.length > LAST_LINES) lines.shift();
					look(line);
				}
			}),
		said: () => [...lines, partial],
	});
	if (failure === undefined) return;
	const { message, words, cause } = failure;
	const advice = "Look at firmware and command line (console=ttyS0), or raise bootMs";
	throw new V86Error("not-booted", `${message}. ${advice}`, words, cause);
}
