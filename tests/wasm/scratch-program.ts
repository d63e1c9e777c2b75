// What the scratch programs answer: one request per thing that a test wants to happen inside a guest.
import type { RunningProgram } from "../../bindings/guests/wasm/program.ts";

export type ScratchRequest =
	/** Host code writes to the guest's memory. */
	| { readonly do: "write"; readonly at: number; readonly bytes: Uint8Array }
	| { readonly do: "read"; readonly at: number; readonly byteLength: number }
	/** Adds one to a global of the module, and to a number that only JavaScript holds. @returns both */
	| { readonly do: "count" }
	/** By WebAssembly pages. */
	| { readonly do: "grow"; readonly wasmPages: number }
	| { readonly do: "trap" }
	| { readonly do: "throw" }
	| { readonly do: "reject" }
	/** A response that cannot be cloned. */
	| { readonly do: "function" }
	/** Holds the thread for so long, then answers. */
	| { readonly do: "busy"; readonly ms: number }
	/** An asynchronous call. */
	| { readonly do: "wait"; readonly ms: number }
	/** Never ends. */
	| { readonly do: "spin" }
	/** Which hooks ran, in order. */
	| { readonly do: "history" }
	/** The worker dies. */
	| { readonly do: "die" };

interface ScratchExports {
	count(): number;
	trap(): void;
	grow(wasmPages: number): number;
	spin(): void;
}

/** @param heap the memory as host code sees it, taken anew at each use unless the glue keeps it */
export function scratchProgram(
	instance: WebAssembly.Instance,
	heap: () => Uint8Array,
	grown: () => void,
): RunningProgram {
	const exports = instance.exports as unknown as ScratchExports;
	const history: string[] = [];
	let held = 0;
	const call = (request: ScratchRequest): unknown => {
		switch (request.do) {
			case "write":
				heap().set(request.bytes, request.at);
				return undefined;
			case "read":
				return heap().slice(request.at, request.at + request.byteLength);
			case "count":
				return { global: exports.count(), held: ++held };
			case "grow": {
				const before = exports.grow(request.wasmPages);
				grown();
				return before;
			}
			case "trap":
				return exports.trap();
			case "throw":
				throw new RangeError("as asked");
			case "reject":
				return Promise.reject(new RangeError("as asked, later"));
			case "function":
				return () => undefined;
			case "busy":
				for (const end = performance.now() + request.ms; performance.now() < end; );
				return "done";
			case "wait":
				return new Promise((resolve) => setTimeout(() => resolve("waited"), request.ms));
			case "spin":
				return exports.spin();
			case "history":
				return [...history];
			case "die":
				queueMicrotask(() => {
					throw new Error("died as asked");
				});
				return new Promise(() => undefined);
		}
	};
	return {
		call: (request) => call(request as ScratchRequest),
		initialize: () => void history.push("initialize"),
		quiesce: () => void history.push("quiesce"),
		wake: () => void history.push("wake"),
		capture() {
			history.push("capture");
			return Uint8Array.of(held);
		},
		restore(bytes) {
			history.push("restore");
			held = bytes[0]!;
		},
	};
}
