// The scratch program as a plain module.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { scratchModule } from "../wasm/scratch-module.ts";
import { scratchProgram } from "../wasm/scratch-program.ts";

export default defineProgram({
	name: "scratch",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	moduleBytes: () => scratchModule("own"),
	async start(context) {
		const instance = await context.instantiate({});
		return scratchProgram(
			instance,
			() => new Uint8Array(context.memory().buffer),
			() => undefined,
		);
	},
});
