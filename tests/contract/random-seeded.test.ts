import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { randomContract } from "./suites/random.ts";

const test = suite("seeded random");
randomContract(test, () => new SeededRandom(1));

test("it is xoshiro128**: the published sequence of the state 1, 2, 3, 4", () => {
	const random = new SeededRandom([1, 2, 3, 4]);
	const drawn = Array.from({ length: 10 }, () => random.nextU32());
	// From the tests of the rand_xoshiro crate, made with the authors' C code.
	const published = [
		11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
	];
	assert.equal(drawn, published);
});

test("the same seed gives the same numbers and bytes, another seed others", () => {
	const [one, same, other] = [new SeededRandom(7), new SeededRandom(7), new SeededRandom(8)];
	const draw = (random: SeededRandom) => [random.nextU32(), ...random.fill(new Uint8Array(7)), random.nextU32()];
	const drawn = draw(one);
	assert.equal(draw(same), drawn);
	assert.not.equal(draw(other), drawn);
});

test("a seed that is no unsigned 32-bit integer is refused by name", () => {
	for (const seed of [-1, 2 ** 32, 0.5, Number.NaN]) assert.throws(() => new SeededRandom(seed), /seed/);
	assert.throws(() => new SeededRandom([0, 0, 0, 0]), /zeros/);
	assert.throws(() => new SeededRandom([1, 2, 3, -4]), /seed/);
});

test.run();
