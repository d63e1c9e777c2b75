/** What a side of a link announces and enforces. */
import type { Hash64 } from "../wire/frame.ts";
import {
	DEFAULT_URGENT_WINDOW_BYTES,
	DEFAULT_WINDOW_BYTES,
	MAX_CONTROL_BYTES,
	MAX_FRAME_PAYLOAD_BYTES,
	MAX_WINDOW_BYTES,
	MIN_WINDOW_BYTES,
} from "../wire/limits.ts";

/** Options that all links share. */
export interface LinkOptions {
	/** XXH3-64, as the engine computes it. */
	readonly hash64: Hash64;
	/** Bytes of the bulk lane that this side takes before it gives credit; 16 MiB by default. */
	readonly windowBytes?: number;
	/** The same for the urgent lane; 1 MiB by default. */
	readonly urgentWindowBytes?: number;
	/** Largest payload this side takes, in bytes; a full page batch by default. */
	readonly maximumFrameBytes?: number;
}

/** {@link LinkOptions}, checked and complete. */
export interface LinkLimits {
	readonly windowBytes: number;
	readonly urgentWindowBytes: number;
	readonly maximumFrameBytes: number;
}

/** @throws RangeError naming the option. */
export function resolveLimits(options: LinkOptions): LinkLimits {
	const {
		windowBytes = DEFAULT_WINDOW_BYTES,
		urgentWindowBytes = DEFAULT_URGENT_WINDOW_BYTES,
		maximumFrameBytes = MAX_FRAME_PAYLOAD_BYTES,
	} = options;
	check("windowBytes", windowBytes, MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
	check("urgentWindowBytes", urgentWindowBytes, MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
	check("maximumFrameBytes", maximumFrameBytes, MAX_CONTROL_BYTES, MAX_FRAME_PAYLOAD_BYTES);
	return { windowBytes, urgentWindowBytes, maximumFrameBytes };
}

function check(name: string, value: number, minimum: number, maximum: number): void {
	if (!Number.isInteger(value) || value < minimum || value > maximum)
		throw new RangeError(`${name} must be an integer from ${minimum} to ${maximum} bytes`);
}
