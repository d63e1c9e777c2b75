/** The far side of a worker on Deno. */
import type { WorkerScope } from "../../ports/worker.ts";
import { systemClock } from "../system-clock.ts";

/** What a dedicated worker's global scope has and a main thread's has not; Deno's default types know only the latter. */
interface DedicatedScope {
	postMessage(message: unknown, transfer: Transferable[]): void;
	onmessage: ((event: MessageEvent) => void) | null;
}

const isDedicatedScope = (scope: object): scope is DedicatedScope =>
	"postMessage" in scope && typeof scope.postMessage === "function" && "onmessage" in scope;

/**
 * Binds the scope of the worker this code runs in. Set `onMessage` before the entry module has been evaluated: messages
 * are delivered from then on.
 * @throws TypeError outside a worker.
 */
export function denoWorkerScope(): WorkerScope {
	const scope: object = globalThis;
	if (!isDedicatedScope(scope)) throw new TypeError("denoWorkerScope: this is not a worker");
	let listener: ((message: unknown) => void) | undefined;
	return {
		clock: systemClock,
		post: (message, transfer) => scope.postMessage(message, [...(transfer ?? [])]),
		load: (url) => import(url),
		get onMessage() {
			return listener;
		},
		set onMessage(next) {
			listener = next;
			scope.onmessage = next === undefined ? null : (event) => next(event.data);
		},
	};
}
