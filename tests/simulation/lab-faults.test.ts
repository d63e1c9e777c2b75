/**
 * Every technique under drawn fault schedules, in virtual time. A failure prints its case; `npm run lab -- faults --replay CASE`
 * plays it again with its trace, `PAGEFERRY_SEEDS=n` runs n cases of each technique.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FAULT_BENCH } from "../../bindings/cli/fault-bench.ts";
import {
	caseName,
	caseOf,
	FAULT_TECHNIQUES,
	parseCase,
	runCase,
	runSchedule,
} from "../../bindings/lab/faults/batch.ts";
import { REGRESSIONS } from "../../bindings/lab/faults/regressions.ts";
import { drawSchedule, type FaultSchedule } from "../../bindings/lab/faults/schedule.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { environment } from "./environment.ts";

const test = suite("lab: fault schedules");

const count = Number(environment("PAGEFERRY_SEEDS") ?? 30);
const base = systemRandom.nextU32();

for (const technique of FAULT_TECHNIQUES)
	test(`${technique}: no drawn fault breaks a promise`, async () => {
		const paths = new Set<string>();
		for (let i = 0; i < count; i++) {
			const one = caseOf([technique], base, i);
			const { violations, path } = await runCase(FAULT_BENCH, one);
			assert.equal(violations, [], `${caseName(one)}: ${path}`);
			paths.add(path);
		}
		console.log(`${technique}: seeds from ${base}, ${paths.size} different courses`);
		if (count >= 30) assert.ok(paths.size >= 2, `always ${[...paths].join(", ")}: the faults prove nothing`);
	});

test("cases that once broke a promise keep it", async () => {
	for (const one of REGRESSIONS) {
		const { violations, path } = await runCase(FAULT_BENCH, one);
		assert.equal(violations, [], `${caseName(one)}: ${path}`);
	}
});

test("a case has the same course every time, and so has the schedule that was drawn for it", async () => {
	for (const [i, technique] of FAULT_TECHNIQUES.entries()) {
		const one = caseOf([technique], 77, i * 7);
		const first = await runCase(FAULT_BENCH, one);
		assert.equal(await runCase(FAULT_BENCH, one), first, caseName(one));
		const text = JSON.stringify(drawSchedule(one.technique, one.workload, one.seed));
		const schedule: FaultSchedule = JSON.parse(text);
		assert.equal(await runSchedule(FAULT_BENCH, schedule), first, text);
	}
});

test("a case is read back from its name, and nothing else is", () => {
	const one = caseOf(FAULT_TECHNIQUES, 5, 17);
	assert.equal(parseCase(caseName(one)), one);
	for (const text of [
		"",
		"pre-copy",
		"pre-copy/idle/x",
		"pre-copy/idle/4294967296",
		"pre-copy/none/1",
		"a/idle/1",
		"pre-copy/idle/1/2",
	])
		assert.is(parseCase(text), undefined, text);
});

test("pre-copy has rounds that send something again", async () => {
	let most = 0;
	for (let seed = 1; seed < 40; seed++) {
		const { rounds } = await runCase(FAULT_BENCH, { technique: "pre-copy", workload: "random-writer", seed });
		most = Math.max(most, rounds);
	}
	assert.ok(most >= 4, `at most ${most} rounds`);
});

test.run();
