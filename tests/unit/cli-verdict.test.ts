import { suite } from "uvu";
import * as assert from "uvu/assert";
import { messageWithCauses, reportFailure } from "../../bindings/cli/failure.ts";
import { compareRuns } from "../../bindings/cli/verdict.ts";
import { WORKLOADS } from "../../bindings/cli/workloads.ts";
import { MoveError } from "../../bindings/handover/move-error.ts";

const test = suite("the demo's verdict");

const answers = (count: number): string[] => Array.from({ length: count + 1 }, (_, number) => `"${number}"`);

test("equal answers and states pass", () => {
	const run = { answers: answers(5), stateDigest: "ab" };
	assert.ok(compareRuns(run, { ...run }, 5).every(({ ok }) => ok));
});

test("a missing answer, a different one and a different state fail, and are named", () => {
	const undisturbed = { answers: answers(5), stateDigest: "ab".repeat(32) };
	const missing = answers(5);
	delete missing[3];
	const [first] = compareRuns({ answers: missing, stateDigest: undisturbed.stateDigest }, undisturbed, 5);
	assert.not.ok(first!.ok);
	assert.match(first!.detail, /number 3: no answer, undisturbed "3"/);
	const different = answers(5);
	different[5] = '"twice"';
	const checks = compareRuns({ answers: different, stateDigest: "cd".repeat(32) }, undisturbed, 5);
	assert.equal(
		checks.map(({ ok }) => ok),
		[false, false],
	);
	assert.match(checks[0]!.detail, /number 5: "twice", undisturbed "5"/);
	assert.match(checks[1]!.detail, /cdcd.*abab/);
});

test("no answer on both sides is no agreement", () => {
	const run = { answers: [], stateDigest: "ab" };
	assert.not.ok(compareRuns(run, run, 1)[0]!.ok);
});

test("every workload asks the same of the same number, and something else of the next", () => {
	for (const { name, request } of WORKLOADS.values()) {
		assert.is(request(17), request(17), name);
		assert.is.not(request(17), request(18), name);
		assert.is.not(request(1), request(2), name);
	}
});

test("an error keeps its code, its phase and its causes on the way to another process", () => {
	const error = new MoveError("link-lost", "the link broke", { phase: "live", cause: new TypeError("reset by peer") });
	assert.equal(reportFailure(error), { code: "link-lost", phase: "live", message: "the link broke (reset by peer)" });
	assert.equal(reportFailure("just words"), { code: "failed", phase: undefined, message: "just words" });
	const repeated = new TypeError("it failed: reset", { cause: new TypeError("reset") });
	assert.is(messageWithCauses(repeated), "it failed: reset");
});

test.run();
