import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DirtyCursor, DirtyPages, PageBits } from "../../bindings/ports/guest.ts";
import { KeptDirty } from "../../bindings/snapshot/kept-dirty.ts";

const test = suite("series: the kept cursor");

/** A cursor whose harvests are answered when the test says so. */
class SlowCursor implements DirtyCursor {
	readonly answers: ((dirty: DirtyPages) => void)[] = [];
	readonly putBacks: PageBits[] = [];
	closed = 0;
	peek = (): Promise<PageBits> => Promise.resolve(new Uint8Array(1));
	harvest = (): Promise<DirtyPages> => new Promise((resolve) => this.answers.push(resolve));
	putBack = async (bits: PageBits): Promise<void> => void this.putBacks.push(bits);
	close = async (): Promise<void> => void this.closed++;
}
const dirty = (...bits: number[]): DirtyPages => ({
	bits: Uint8Array.from(bits),
	dirtyCount: 1,
	pageCount: bits.length * 8,
});

test("a harvest that comes after the snapshot has failed is put back too", async () => {
	const cursor = new SlowCursor();
	const kept = new KeptDirty(cursor);
	const loan = kept.lend();
	const first = loan.harvest();
	cursor.answers[0]!(dirty(0b0001));
	await first;
	const late = loan.harvest(); // a round that a cancellation has left behind
	const settled = kept.settle(false);
	cursor.answers[1]!(dirty(0b0100, 0b1));
	await Promise.all([late, settled]);
	assert.equal(cursor.putBacks, [Uint8Array.of(0b0101, 0b1)]);
});

test("a harvest that is asked for after the end is refused: its bits would be nobody's", async () => {
	const cursor = new SlowCursor();
	const kept = new KeptDirty(cursor);
	const loan = kept.lend();
	await kept.settle(false);
	assert.instance(await loan.harvest().catch((error) => error), TypeError);
	assert.is(cursor.answers.length, 0);
});

test("what a snapshot has stored is forgotten, and one loan at a time", async () => {
	const cursor = new SlowCursor();
	const kept = new KeptDirty(cursor);
	const loan = kept.lend();
	assert.throws(() => kept.lend(), TypeError);
	assert.throws(() => kept.requireFree(), TypeError);
	const harvest = loan.harvest();
	cursor.answers[0]!(dirty(1));
	await harvest;
	await loan.close();
	assert.is(cursor.closed, 0, "a snapshot does not close the series' cursor");
	await kept.settle(true);
	assert.equal(cursor.putBacks, []);
	kept.lend();
	await kept.settle(false);
	assert.equal(cursor.putBacks, [], "nothing was harvested since");
	await kept.close();
	assert.is(cursor.closed, 1);
});

test.run();
