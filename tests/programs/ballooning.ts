// A program with a balloon around the module of ballooning.as, which comes from whoever starts it.

import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { balloonOf } from "../../bindings/guests/wasm/program-balloon.ts";

/** What it answers: a function of the module by name, with its arguments. */
export interface BallooningRequest {
	readonly call: "allocate" | "release" | "sum" | "balloon_free";
	readonly value?: number;
}

export default defineProgram({
	name: "ballooning",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	async start({ host, instantiate }) {
		const { exports } = await instantiate({ env: { abort: () => undefined } });
		return {
			balloon: balloonOf(exports, host),
			call(request) {
				const { call, value = 0 } = request as BallooningRequest;
				return (exports[call] as (value: number) => number | undefined)(value);
			},
		};
	},
});
