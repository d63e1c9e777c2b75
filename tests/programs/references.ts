// A program whose module waits, notifies, and holds objects of JavaScript.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { referencesModule } from "../wasm/references-module.ts";

export type ReferencesRequest =
	/** By the module's own functions. @returns what it returns */
	| { readonly call: "notify" | "wait32" | "wait64" | "add"; readonly values: readonly (number | bigint)[] }
	/** JavaScript's object goes into a slot of the table, or into the global. */
	| { readonly put: number | "global" }
	| { readonly release: number | "global" }
	/** Whether the object is there, as code and (for a slot) the exported table say. */
	| { readonly look: number | "global" };

export default defineProgram({
	name: "references",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => referencesModule(),
	async start({ instantiate }) {
		const { exports } = await instantiate({});
		const objects = exports.objects as WebAssembly.Table;
		const call = (name: string, ...values: unknown[]): unknown => (exports[name] as CallableFunction)(...values);
		const object = { an: "object of the host" };
		const put = (where: number | "global", value: unknown) =>
			where === "global" ? call("hold", value) : call("place", where, value);
		return {
			call(given) {
				const request = given as ReferencesRequest;
				if ("call" in request) return call(request.call, ...request.values);
				if ("put" in request) return put(request.put, object);
				if ("release" in request) return put(request.release, null);
				if (request.look === "global") return call("held") === object;
				return [call("placed", request.look) === object, objects.get(request.look) === object];
			},
		};
	},
});
