/** How a host's process ends on Node. */
import process from "node:process";
import { killStarted } from "../platform/node/processes.ts";

/** How long what is still open may keep the process, in ms: a socket waits for its peer's end as long. */
const GRACE_MS = 250;

/**
 * The work is over: lets this process end by itself, and ends it where something that is still under way would keep it.
 *
 * Not by `process.exit()`: on Node 24 it waits for V8's compiling threads, one of which may wait for a garbage collection by the
 * thread that waits for it (github.com/nodejs/node/issues/54918). On a busy machine 1 of 250 processes never ended so.
 */
export function endThisProcess(): void {
	setTimeout(() => {
		killStarted();
		process.kill(process.pid, "SIGKILL");
	}, GRACE_MS).unref();
}
