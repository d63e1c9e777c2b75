// One suite of interruptions for every kind of demo.
import type { uvu } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { MarkedCommand, SEED, TIMES } from "./interrupted.ts";

const CODES = { SIGINT: 130, SIGTERM: 143, SIGKILL: null } as const;

/** Adds tests that end `pageferry …args` by each signal, at moments drawn from the time that a whole run takes. */
export function testInterruptions(test: uvu.Test<unknown>, args: readonly string[]): void {
	const random = new SeededRandom(SEED);
	let wholeMs = 0;

	test(`undisturbed, it leaves nothing (seed ${SEED})`, async () => {
		const startedMs = performance.now();
		const { code, errors, left } = await new MarkedCommand(args).end();
		wholeMs = performance.now() - startedMs;
		assert.is(code, 0, errors);
		assert.equal(left, []);
	});

	for (const [signal, expected] of Object.entries(CODES) as [keyof typeof CODES, number | null][])
		test(`${signal} at ${TIMES} drawn moments leaves nothing`, async () => {
			for (let time = 0; time < TIMES; time++) {
				const atMs = (random.nextU32() / 2 ** 32) * wholeMs;
				const { code, errors, left } = await new MarkedCommand(args).endAfter(atMs, signal);
				const when = `seed ${SEED}, ${signal} after ${Math.round(atMs)} of ${Math.round(wholeMs)} ms\n${errors}`;
				assert.equal(left, [], when);
				// It may have been over, or not yet have begun to listen to signals.
				assert.ok(code === expected || code === 0 || code === null, `exit code ${code}, ${when}`);
			}
		});

	test("a reader that goes away is an interruption too", async () => {
		for (let time = 0; time < TIMES; time++) {
			const atMs = (random.nextU32() / 2 ** 32) * wholeMs;
			const { code, errors, left } = await new MarkedCommand(args).unreadAfter(atMs);
			const when = `seed ${SEED}, unread after ${Math.round(atMs)} of ${Math.round(wholeMs)} ms\n${errors}`;
			assert.equal(left, [], when);
			assert.ok([0, 1, 141].includes(code ?? -1), `exit code ${code}, ${when}`); // 1: a busy machine was too slow for it
		}
	});

	test("killed together with all of its processes, the next start clears up", async () => {
		for (let time = 0; time < TIMES; time++) {
			const atMs = (random.nextU32() / 2 ** 32) * wholeMs;
			const killed = new MarkedCommand(args);
			await killed.killAllAfter(atMs);
			const next = new MarkedCommand(args, killed.folder);
			const { errors, left } = await next.end();
			const when = `seed ${SEED}, everything killed after ${Math.round(atMs)} of ${Math.round(wholeMs)} ms\n${errors}`;
			assert.equal([...left, ...killed.memory()], [], when);
		}
	});
}
