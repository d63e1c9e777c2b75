// What the paged programs answer: the module's functions, and host code that says what it touches.
import type { RunningProgram, StartContext } from "../../bindings/guests/wasm/program.ts";
import type { PagedFunction } from "./paged-module.ts";

export type PagedRequest =
	| { readonly call: PagedFunction; readonly values?: readonly (number | bigint)[] }
	/** Host code, by its declared access. */
	| { readonly read: number; readonly byteLength: number }
	| { readonly write: number; readonly bytes: Uint8Array }
	/** A text of the guest, read by host code. */
	| { readonly text: number }
	/** An asynchronous call: nothing of the module runs for a while. */
	| { readonly waitMs: number }
	/** Calls the function that the table gave out when the program started. */
	| { readonly cached: true }
	/** Reaches for memory without saying so. */
	| { readonly raw: true }
	/** Says something to the outside, then answers. */
	| { readonly emit: unknown };

/** Answers {@link PagedRequest}s. */
export function pagedProgram(instance: WebAssembly.Instance, { host, emit }: StartContext): RunningProgram {
	const { exports } = instance;
	const table = exports.table as WebAssembly.Table;
	const cached = table.get(0) as () => number;
	const call = (request: PagedRequest): unknown => {
		if ("call" in request) return (exports[request.call] as CallableFunction)(...(request.values ?? []));
		if ("read" in request) return host.read(request.read, request.byteLength);
		if ("write" in request) return host.write(request.write, request.bytes);
		if ("text" in request) return host.readText(request.text);
		if ("cached" in request) return cached();
		if ("raw" in request) return (exports.memory as WebAssembly.Memory).buffer.byteLength;
		if ("emit" in request) return emit(request.emit);
		return new Promise((resolve) => setTimeout(() => resolve("waited"), request.waitMs));
	};
	return { call: (request) => call(request as PagedRequest) };
}
