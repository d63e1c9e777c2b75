import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ScanTracker, type ShadowedMemory, STEP_PAGES } from "../../bindings/guests/scan-tracker.ts";

const test = suite("scan tracker");

/** A memory of one number per page, and its shadow: what is written is always a new number. */
class NumberedMemory implements ShadowedMemory {
	live: number[];
	shadow: number[] = [];
	detached = 0;
	#next = 1;

	constructor(pageCount: number) {
		this.live = new Array<number>(pageCount).fill(0);
	}
	get pageCount(): number {
		return this.live.length;
	}
	get shadowPageCount(): number {
		return this.shadow.length;
	}
	write(page: number): void {
		this.live[page] = this.#next++;
	}
	grow(pageCount: number): void {
		this.live.push(...new Array<number>(pageCount).fill(0));
	}
	extend(pageCount: number): void {
		while (this.shadow.length < pageCount) this.shadow.push(-1);
	}
	compare(firstPage: number, pageCount: number, changed: Uint8Array): number {
		assert.ok(pageCount <= STEP_PAGES && firstPage + pageCount <= this.shadow.length);
		let count = 0;
		for (let i = 0; i < pageCount; i++)
			if (this.live[firstPage + i] !== this.shadow[firstPage + i]) {
				changed[i >> 3]! |= 1 << (i & 7);
				count++;
			}
		return count;
	}
	copy(firstPage: number, pageCount: number): void {
		for (let page = firstPage; page < firstPage + pageCount; page++) this.shadow[page] = this.live[page]!;
	}
	detach(): void {
		this.detached++;
		this.shadow = [];
	}
}

/** Runs a generator to its end, with something happening between its steps. */
function run<Result>(steps: Generator<void, Result>, between: () => void = () => undefined): Result {
	for (;;) {
		const step = steps.next();
		if (step.done === true) return step.value;
		between();
	}
}

const pagesOf = (bits: Uint8Array, pageCount: number): number[] =>
	Array.from({ length: pageCount }, (_, page) => page).filter((page) => ((bits[page >> 3]! >> (page & 7)) & 1) === 1);

const PAGES = STEP_PAGES * 2 + 16;
/** Whole bytes of bits, and not: the last byte's pages are pages like the others. */
const pageCounts = fc.oneof(
	fc.constantFrom(PAGES, STEP_PAGES, 1, 7, STEP_PAGES + 1),
	fc.integer({ min: 1, max: PAGES }),
);
const action = fc.oneof(
	{ weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), page: fc.nat(PAGES - 1) }) },
	{ weight: 2, arbitrary: fc.record({ do: fc.constant("harvest" as const), cursor: fc.nat(2) }) },
	{
		weight: 2,
		arbitrary: fc.record({
			do: fc.constant("peek" as const),
			cursor: fc.nat(2),
			first: fc.nat(PAGES / 8 - 1),
			count: fc.integer({ min: 1, max: PAGES }),
			candidates: fc.option(fc.uint8Array({ minLength: 40, maxLength: 40 }), { nil: undefined }),
		}),
	},
	fc.record({ do: fc.constant("put back" as const), cursor: fc.nat(2) }),
	fc.record({ do: fc.constant("reopen" as const), cursor: fc.nat(2) }),
	fc.record({ do: fc.constant("grow" as const), pages: fc.constantFrom(1, 7, 8, 16, 80) }),
	fc.record({ do: fc.constant("cover" as const), page: fc.nat(PAGES - 1) }),
);

test("three cursors agree with an oracle that notes every write for each", () => {
	fc.assert(
		fc.property(pageCounts, fc.array(action, { maxLength: 60 }), (pages, actions) => {
			const memory = new NumberedMemory(pages);
			const tracker = new ScanTracker(memory);
			const cursors = [0, 1, 2].map(() => run(tracker.open()));
			const dirty = cursors.map(() => new Set<number>());
			const harvested = cursors.map(() => [] as number[]);
			for (const step of actions) {
				switch (step.do) {
					case "write": {
						const page = step.page % memory.pageCount;
						memory.write(page);
						for (const set of dirty) set.add(page);
						break;
					}
					case "grow":
						for (const set of dirty) for (let page = 0; page < step.pages; page++) set.add(memory.pageCount + page);
						memory.grow(step.pages);
						break;
					case "harvest": {
						const { bits, dirtyCount, pageCount } = run(tracker.harvest(cursors[step.cursor]!));
						const pages = pagesOf(bits, pageCount);
						assert.is(pageCount, memory.pageCount);
						assert.is(dirtyCount, pages.length);
						assert.equal(
							pages,
							[...dirty[step.cursor]!].sort((a, b) => a - b),
						);
						dirty[step.cursor]!.clear();
						harvested[step.cursor] = pages;
						break;
					}
					case "peek": {
						const first = step.first * 8;
						const bits = run(tracker.peek(cursors[step.cursor]!, first, step.count, step.candidates));
						const isCandidate = (i: number): boolean =>
							step.candidates === undefined || ((step.candidates[i >> 3] ?? 0) >> (i & 7)) % 2 === 1;
						const expected = [...dirty[step.cursor]!]
							.map((page) => page - first)
							.filter((i) => i >= 0 && i < step.count && isCandidate(i))
							.sort((a, b) => a - b);
						assert.equal(pagesOf(bits, step.count), expected);
						break;
					}
					case "put back": {
						const bits = new Uint8Array(Math.ceil(memory.shadowPageCount / 8));
						for (const page of harvested[step.cursor]!) {
							bits[page >> 3]! |= 1 << (page & 7);
							dirty[step.cursor]!.add(page);
						}
						tracker.putBack(cursors[step.cursor]!, bits);
						break;
					}
					case "reopen":
						tracker.close(cursors[step.cursor]!);
						cursors[step.cursor] = run(tracker.open());
						dirty[step.cursor]!.clear();
						harvested[step.cursor] = [];
						break;
					case "cover": {
						const page = step.page % memory.pageCount;
						run(tracker.cover(page));
						assert.ok(memory.shadowPageCount > page);
					}
				}
			}
			assert.is(memory.detached, 0, "never all three were closed at once");
			for (const cursor of cursors) tracker.close(cursor);
			assert.is(memory.detached, 1);
		}),
		{ numRuns: 300 },
	);
});

test("a copy kept by encoding what was harvested is complete, whatever is written between the steps", () => {
	const write = fc.record({ page: fc.nat(PAGES - 1), grow: fc.option(fc.constantFrom(1, 5, 8), { nil: 0 }) });
	fc.assert(
		fc.property(
			pageCounts,
			fc.array(fc.nat(2), { maxLength: 12 }),
			fc.array(write, { minLength: 1, maxLength: 80 }),
			(pages, turns, writes) => {
				const memory = new NumberedMemory(pages);
				const tracker = new ScanTracker(memory);
				let at = 0;
				let grown = 0;
				const disturb = (): void => {
					for (let n = 0; n < 3; n++) {
						const { page, grow } = writes[at++ % writes.length]!;
						memory.write(page % memory.pageCount);
						if (grow > 0 && grown++ < 4) memory.grow(grow);
					}
				};
				const cursors = [0, 1, 2].map(() => run(tracker.open(), disturb));
				// What each receiver has: first everything, then what each harvest named.
				const copies = cursors.map(() => {
					run(tracker.cover(memory.pageCount - 1), disturb);
					return memory.shadow.slice();
				});
				const receive = (index: number): void => {
					const { bits, pageCount } = run(tracker.harvest(cursors[index]!), disturb);
					disturb();
					for (const page of pagesOf(bits, pageCount)) {
						run(tracker.cover(page), disturb);
						copies[index]![page] = memory.shadow[page]!;
					}
				};
				for (const index of turns) receive(index);
				for (const [index, cursor] of cursors.entries()) {
					const { bits, pageCount } = run(tracker.harvest(cursor));
					for (const page of pagesOf(bits, pageCount)) copies[index]![page] = memory.shadow[page]!;
				}
				for (const copy of copies) assert.equal(copy, memory.live);
			},
		),
		{ numRuns: 300 },
	);
});

test("a first cursor without memory for the shadow leaves nothing attached", () => {
	const memory = new NumberedMemory(PAGES);
	memory.extend = () => {
		throw new RangeError("no memory");
	};
	const tracker = new ScanTracker(memory);
	assert.throws(() => run(tracker.open()), /no memory/);
	assert.is(memory.detached, 1);
	assert.is(tracker.attached, false);
});

test("a closed cursor is a programmer's mistake, closing it again is not", () => {
	const tracker = new ScanTracker(new NumberedMemory(PAGES));
	const cursor = run(tracker.open());
	tracker.close(cursor);
	tracker.close(cursor);
	assert.throws(() => run(tracker.harvest(cursor)), TypeError);
});

test.run();
