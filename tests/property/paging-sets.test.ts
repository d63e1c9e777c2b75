// Sets of pages on their way into the switch, and the queue made of them, against naive models: they are handled in runs and
// words, because the guest stands still meanwhile.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { countBits, forEachRun } from "../../bindings/guests/page-bits.ts";
import { countPages, hasPage, missingRecords } from "../../bindings/paging/missing-record.ts";
import { type PageQueue, PageQueueRoom } from "../../bindings/paging/page-queue.ts";
import { activePush, prepaging } from "../../bindings/policies/push-order.ts";
import { decodeRecord, encodeRecord } from "../../bindings/wire/records.ts";

const test = suite("sets of missing pages");

/** Sets with long runs and with none: what one bit a page looks like in practice. */
const pageSets = fc
	.tuple(fc.integer({ min: 1, max: 700 }), fc.array(fc.tuple(fc.nat(700), fc.nat(300)), { maxLength: 8 }), fc.nat(2))
	.map(([pageCount, runs, sparse]) => {
		const pages = new Set<number>();
		for (const [first, length] of runs)
			for (let page = first; page < Math.min(pageCount, first + length); page += 1 + sparse) pages.add(page);
		const bits = new Uint8Array(Math.ceil(pageCount / 8));
		for (const page of pages) bits[page >>> 3]! |= 1 << (page & 7);
		return { pageCount, pages: [...pages].sort((a, b) => a - b), bits };
	});

test("a set arrives as it left, in whichever form is smaller", () => {
	fc.assert(
		fc.property(pageSets, ({ pageCount, pages, bits }) => {
			const [record, more] = [...missingRecords(bits, pageCount)];
			assert.is(more, undefined);
			const { type, payload } = encodeRecord(record!);
			const read = decodeRecord({ type, payload: new Uint8Array(payload), checksum: 0n });
			if (read?.type !== "missing") throw new Error(`it became '${read?.type}'`);
			assert.equal(read.bits, bits);
			assert.equal(
				Array.from({ length: pageCount }, (_, page) => page).filter((page) => hasPage(read.bits, page)),
				pages,
			);
		}),
	);
});

test("pages are counted, and runs are found, as one by one", () => {
	fc.assert(
		fc.property(pageSets, fc.nat(3), ({ pageCount, pages, bits }, shift) => {
			const moved = new Uint8Array(bits.length + shift).subarray(shift);
			moved.set(bits);
			assert.is(countPages(moved), pages.length);
			assert.is(countBits(moved), pages.length);
			const found: number[] = [];
			let end = -1;
			forEachRun(bits, pageCount, (first, count) => {
				assert.ok(first > end, "runs ascend and do not touch");
				for (let page = first; page < first + count; page++) found.push(page);
				end = first + count;
			});
			assert.equal(found, pages);
		}),
	);
});

function everyPage(queue: PageQueue, list: PageList): number[] {
	const pages: number[] = [];
	while (queue.push(list, list.capacity) > 0) pages.push(...list.toArray());
	return pages;
}

test("room that is filled again owes what it is told and nothing of before, those used last first", () => {
	const engine = createEngine();
	const list = new PageList(engine, 16);
	for (const push of [activePush(), prepaging(), prepaging({ order: "turns" })]) {
		const room = new PageQueueRoom(engine, 704, push);
		fc.assert(
			fc.property(
				pageSets,
				fc.array(fc.nat(800), { maxLength: 40 }),
				fc.nat(200),
				({ bits, pages }, recent, faults) => {
					const owed = new Uint8Array(88);
					owed.set(bits);
					const queue = room.fill(owed, Uint32Array.from(recent));
					assert.is(queue.remaining, pages.length);
					const first = [...new Set(recent)].find((page) => pages.includes(page)) ?? pages[0];
					if (faults % 2 === 0 && first !== undefined) {
						queue.push(list, 1);
						assert.equal(list.toArray(), Uint32Array.of(first), "position 0 goes first");
					} else for (let i = 0; i < faults; i += 10) queue.fault(i);
					const rest = everyPage(queue, list);
					assert.is(queue.remaining, 0);
					for (const page of pages) assert.is(queue.fault(page), "in-flight");
					assert.is(new Set(rest).size, rest.length);
					assert.ok(rest.every((page) => pages.includes(page)));
				},
			),
			{ numRuns: 60 },
		);
	}
});

test.run();
