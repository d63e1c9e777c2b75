// What the test workers do: they answer what they are asked.
import type { WorkerScope } from "../../bindings/ports/worker.ts";

/** A question to the worker. */
export type EchoRequest =
	| { readonly ask: "echo"; readonly value: unknown }
	| { readonly ask: "give back"; readonly buffer: ArrayBuffer }
	| { readonly ask: "throw" }
	| { readonly ask: "reject" }
	| { readonly ask: "spin" }
	| { readonly ask: "load"; readonly url: string }
	| { readonly ask: "sleep"; readonly durationMs: number };

export function startEcho(scope: WorkerScope): void {
	scope.onMessage = async (message) => {
		const request = message as EchoRequest;
		switch (request.ask) {
			case "echo":
				return scope.post(request.value);
			case "give back":
				scope.post(request.buffer, [request.buffer]);
				return scope.post(request.buffer.byteLength);
			case "load": {
				const module = (await scope.load(request.url)) as { readonly answer: unknown };
				return scope.post(module.answer);
			}
			case "sleep": {
				const startedMs = scope.clock.now();
				await scope.clock.sleep(request.durationMs);
				return scope.post(scope.clock.now() - startedMs);
			}
			case "spin":
				scope.post("spinning");
				for (;;);
			case "reject":
				throw new RangeError("the worker's promise was rejected");
			case "throw":
				// Outside the promise, so that it is an uncaught exception.
				await scope.clock.sleep(0);
				queueMicrotask(() => {
					throw new RangeError("the worker threw");
				});
		}
	};
}
