import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GuestLayout } from "../../bindings/ports/guest.ts";
import { RestoreError } from "../../bindings/snapshot/restore-error.ts";
import { checkPolicy, judgePolicy, type RestorePolicy } from "../../bindings/snapshot/restore-policy.ts";

const test = suite("restore: clock and random numbers");

const layoutOf = (facts: Record<string, string>): GuestLayout => ({
	...{ kind: "wasm", pageBytes: 4096, pageCount: 16, maximumPageCount: 16, resources: [] },
	facts,
});
type Outcome = string;

/** What becomes of it: `clock outcome, random outcome`, or `refused`. */
function outcome(facts: Record<string, string>, policy: RestorePolicy, told: boolean): Outcome {
	const layout = layoutOf(facts);
	try {
		checkPolicy(layout, policy);
		const { clockOutcome, randomOutcome } = judgePolicy(layout, policy, told);
		return `${clockOutcome}, ${randomOutcome}`;
	} catch (error) {
		assert.instance(error, RestoreError);
		assert.is((error as RestoreError).code, "policy");
		return "refused";
	}
}

// facts, policy, without something that listens, with it
const CASES: readonly (readonly [Record<string, string>, RestorePolicy, Outcome, Outcome])[] = [
	[
		{ clock: "none", random: "none" },
		{ clock: "jump", random: "reseed" },
		"unaffected, unaffected",
		"unaffected, unaffected",
	],
	[
		{ clock: "none", random: "none" },
		{ clock: "continue", random: "keep" },
		"unaffected, unaffected",
		"unaffected, unaffected",
	],
	[
		{ clock: "host", random: "host" },
		{ clock: "jump", random: "reseed" },
		"by-itself, by-itself",
		"by-itself, by-itself",
	],
	[{ clock: "host", random: "none" }, { clock: "continue", random: "keep" }, "refused", "refused"],
	[{ clock: "none", random: "host" }, { clock: "jump", random: "keep" }, "refused", "refused"],
	[{ clock: "carried", random: "seeded" }, { clock: "continue", random: "keep" }, "by-itself, by-itself", "told, told"],
	[{ clock: "carried", random: "none" }, { clock: "jump", random: "keep" }, "refused", "told, unaffected"],
	[{ clock: "none", random: "seeded" }, { clock: "jump", random: "reseed" }, "refused", "unaffected, told"],
	[{}, { clock: "jump", random: "reseed" }, "left-to-caller, left-to-caller", "told, told"],
];
for (const [facts, policy, alone, told] of CASES)
	test(`${JSON.stringify(facts)} asked for ${JSON.stringify(policy)}: ${alone}; told: ${told}`, () => {
		assert.is(outcome(facts, policy, false), alone);
		assert.is(outcome(facts, policy, true), told);
	});

test.run();
