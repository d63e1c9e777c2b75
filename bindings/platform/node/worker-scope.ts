/** The far side of a worker on Node. */
import { parentPort } from "node:worker_threads";
import type { WorkerScope } from "../../ports/worker.ts";
import { systemClock } from "../system-clock.ts";

/**
 * Binds the scope of the worker this code runs in. Messages wait until `onMessage` is set.
 * @throws TypeError outside a worker.
 */
export function nodeWorkerScope(): WorkerScope {
	const port = parentPort;
	if (port === null) throw new TypeError("nodeWorkerScope: this is not a worker");
	let listener: ((message: unknown) => void) | undefined;
	return {
		clock: systemClock,
		post: (message, transfer) => port.postMessage(message, transfer ?? []),
		load: (url) => import(url),
		get onMessage() {
			return listener;
		},
		set onMessage(next) {
			if (listener !== undefined) port.off("message", listener);
			listener = next;
			if (next !== undefined) port.on("message", next);
		},
	};
}
