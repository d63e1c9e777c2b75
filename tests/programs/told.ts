// A program that listens when it is restored from a snapshot: it carries a clock and seeds a generator of its own.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import type { RestoreFacts } from "../../bindings/ports/told-guest.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

export default defineProgram({
	name: "told",
	version: "1",
	policy: { clock: "carried", random: "seeded" },
	keepsMemoryViews: false,
	moduleBytes: () => scratchModule("own"),
	async start(context) {
		await context.instantiate({});
		const told: (RestoreFacts | "wake")[] = [];
		return {
			call: (request) => {
				if (request === "told") return told;
				throw new RangeError("told is all there is to ask");
			},
			capture: () => new Uint8Array(0),
			restore: () => undefined,
			wake: () => void told.push("wake"),
			restored(facts) {
				if (facts.cloneCount === 13) throw new RangeError("thirteen is too many");
				told.push(facts);
			},
		};
	},
});
