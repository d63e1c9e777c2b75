// A program that declares its host access and breaks its word: JavaScript makes the module's memory, and reaches into it.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

/** Reads or writes a byte, with or without saying so. */
export interface SneakyRequest {
	readonly at: number;
	readonly declared: boolean;
	readonly read?: true;
}

export default defineProgram({
	name: "sneaky",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => scratchModule("imported"),
	async start({ instantiate, minimumMemoryPages, host }) {
		const memory = new WebAssembly.Memory({ initial: Math.max(1, minimumMemoryPages), maximum: 64 });
		await instantiate({ env: { memory } });
		return {
			call(request) {
				const { at, declared, read } = request as SneakyRequest;
				if (read) return declared ? host.read(at, 1)[0] : new Uint8Array(memory.buffer)[at];
				if (declared) host.write(at, Uint8Array.of(1));
				else new Uint8Array(memory.buffer)[at]!++;
				return undefined;
			},
		};
	},
});
