// The scratch program behind glue like Emscripten's: JavaScript makes the memory and keeps a view that only its own growth
// path takes anew. The module comes from whoever starts it, or from the source.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { scratchProgram } from "../wasm/scratch-program.ts";

export default defineProgram({
	name: "scratch-glue",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: true,
	async start(context) {
		const memory = new WebAssembly.Memory({ initial: Math.max(1, context.minimumMemoryPages), maximum: 64 });
		let heap = new Uint8Array(memory.buffer);
		const instance = await context.instantiate({ env: { memory } });
		return scratchProgram(
			instance,
			() => heap,
			() => {
				heap = new Uint8Array(memory.buffer);
			},
		);
	},
});
