// The list of pages by last use, against a plain array.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RecentPages } from "../../bindings/guests/recent-pages.ts";
import { MISSING, MISSING_OFFSET } from "../../bindings/guests/wasm/module/page-map.ts";
import { AccessSampler, WriteSampler } from "../../bindings/guests/wasm/use-sampler.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import type { Clock } from "../../bindings/ports/clock.ts";

const test = suite("pages by last use");

test("the list is that of an array in which a used page moves to the front", () => {
	for (let seed = 1; seed <= 50; seed++) {
		const random = new SeededRandom(seed);
		const pageCount = 1 + (random.nextU32() % 40);
		const recent = new RecentPages(seed % 2 === 0 ? pageCount : 1); // grows in every second run
		let oracle: number[] = [];
		for (let use = 0; use < 200; use++) {
			const page = random.nextU32() % pageCount;
			recent.note(page);
			oracle = [page, ...oracle.filter((other) => other !== page)];
			assert.equal([...recent.recentFirst()], oracle, `seed ${seed}, use ${use}`);
			assert.is(recent.count, oracle.length);
		}
	}
});

/** The second memory of instrumented code, and a clock that is set by hand. */
function samplerOf(pageCount: number) {
	const map = new WebAssembly.Memory({ initial: 32 });
	let nowMs = 0;
	const clock: Clock = { now: () => nowMs, sleep: () => Promise.resolve() };
	const sampler = new AccessSampler(clock, map, pageCount);
	const armed = new Uint8Array(map.buffer, MISSING_OFFSET);
	return {
		sampler,
		armed,
		/** What instrumented code does. */
		use(page: number): boolean {
			if (armed[page] !== MISSING) return false;
			sampler.arrive(page);
			return true;
		},
		later(ms: number) {
			nowMs += ms;
		},
	};
}

test("a page calls out once in a turn, and is the most recent one when a later turn meets it again", () => {
	const { sampler, use, later } = samplerOf(8);
	assert.equal([3, 5, 3, 5, 1].map(use), [true, true, false, false, true]);
	assert.equal([...sampler.recentFirst()], [1, 5, 3]);
	later(11);
	assert.is(use(7), true, "a use that comes after the turn's end begins the next one");
	assert.is(use(3), true);
	assert.equal([...sampler.recentFirst()], [3, 7, 1, 5]);
	sampler.turn(8);
	assert.is(use(5), true);
	assert.equal([...sampler.recentFirst()], [5, 3, 7, 1]);
});

test("pages that memory has grown by are watched from the next turn on; a sampler that stops lets all pass", () => {
	const { sampler, armed, use } = samplerOf(4);
	assert.is(use(6), false);
	sampler.turn(8);
	assert.is(use(6), true);
	sampler.touch(4096 * 1 + 4000, 200);
	assert.equal([...sampler.recentFirst()], [2, 1, 6]);
	sampler.touch(0, 4096);
	assert.equal([...sampler.recentFirst()], [0, 2, 1, 6]);
	sampler.stop();
	assert.ok(armed.subarray(0, 8).every((state) => state === 0));
});

test("what was written in a turn is more recent than what was written before it", () => {
	const sampler = new WriteSampler(32);
	sampler.note(Uint8Array.of(0b1000_0001, 0, 0b10));
	sampler.note(Uint8Array.of(0b10));
	assert.is(sampler.recentFirst()[0], 1);
	assert.equal([...sampler.recentFirst()].sort(), [0, 1, 17, 7].sort());
	sampler.note(new Uint8Array(4));
	assert.is(sampler.recentFirst()[0], 1);
});

test.run();
