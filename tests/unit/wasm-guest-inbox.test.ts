// The memory that the two ends of a guest in post-copy share, both ends in one thread.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { InboxReader, type InboxRecord, InboxWriter, type PostedRecord } from "../../bindings/guests/fault-inbox.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";

const test = suite("wasm guest: inbox");

const PAGE = 4096;
const MEMORY_PAGES = 2048;
const engine = createEngine();
const encoder = new BatchEncoder(engine);
const memory = new Uint8Array(MEMORY_PAGES * PAGE);
for (let i = 0; i < memory.length; i++) memory[i] = Math.imul(i, 0x9e3779b1) >>> 23;

function batchOf(...pages: number[]): { bytes: Uint8Array; checksum: bigint } {
	const source = { kind: "memory", bytes: memory } as const;
	const { bytes, checksum } = encoder.encode({ pageIndices: Uint32Array.from(pages), source, into: "fresh" });
	return { bytes, checksum };
}

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

function ends(owedPages = MEMORY_PAGES): { writer: InboxWriter; reader: InboxReader } {
	const writer = new InboxWriter(MEMORY_PAGES, owedPages);
	return { writer, reader: new InboxReader(writer.memory) };
}

function post(writer: InboxWriter, ...pages: number[]): InboxRecord {
	const { bytes, checksum } = batchOf(...pages);
	const record = writer.post(bytes, checksum);
	if (record === undefined) throw new Error("no room");
	return record;
}

// Only runtimes that can run instrumented code have use for it; older ones refuse the buffer's size.
if (supportsInstrumentation()) {
	test("records come out in order, or by page, each once, as they went in", () => {
		const { writer, reader } = ends();
		const records = [post(writer, 1, 2), post(writer, 7), post(writer, 9, 10)];
		const second = reader.recordOf(7)!;
		const { bytes, checksum } = batchOf(7);
		assert.equal(new Uint8Array(second.bytes), bytes);
		assert.is(second.checksum, checksum);
		reader.took(second, []);
		assert.is(reader.recordOf(7), undefined);
		const first = reader.next(Number.POSITIVE_INFINITY)!;
		assert.equal(writer.stateOf(records[0]!), "posted");
		reader.took(first, [1]);
		const third = reader.next(Number.POSITIVE_INFINITY)!;
		assert.is(third.number, 3);
		assert.is(reader.next(100), undefined, "too long to be taken now");
		reader.refused(third);
		assert.is(reader.next(Number.POSITIVE_INFINITY), undefined);
		assert.equal(
			records.map((record) => writer.stateOf(record)),
			["taken", "taken", "refused"],
		);
		const taken = writer.giveBack(records[0]!);
		assert.equal([...taken.pageIndices], [1]);
		assert.is(taken.duplicates, 1);
		assert.is(taken.hashes.byteLength, 16);
	});

	test("a page that is sent again is found in the later record", () => {
		const { writer, reader } = ends();
		post(writer, 5);
		reader.refused(reader.recordOf(5)!);
		assert.is(reader.recordOf(5), undefined);
		post(writer, 5);
		assert.is(reader.recordOf(5)!.number, 2);
	});

	test("holds every owed page, then is full until something was taken; rooms are used again", () => {
		const { writer, reader } = ends(1024);
		const records: InboxRecord[] = [];
		for (let first = 0; first < 1024; first += 32) records.push(post(writer, ...range(first, 32)));
		const held = writer.heldBytes;
		let extra = 0;
		const { bytes, checksum } = batchOf(...range(0, 1024));
		for (let record = writer.post(bytes, checksum); record !== undefined; extra++) {
			records.push(record);
			record = writer.post(bytes, checksum);
		}
		assert.ok(extra > 0 && writer.heldBytes < held * 8, "a flood of repetitions is bounded");
		for (let round = 0; round < 50; round++) {
			for (let record = reader.next(Number.POSITIVE_INFINITY); record !== undefined; ) {
				reader.took(record, []);
				record = reader.next(Number.POSITIVE_INFINITY);
			}
			for (const record of records.splice(0)) writer.giveBack(record);
			const before = writer.heldBytes;
			for (let first = 0; first < 1024; first += 64) records.push(post(writer, ...range(first, 64)));
			assert.is(writer.heldBytes, before, "nothing is allocated anew");
		}
	});

	test("out of turn and over many rounds of the ring, nothing is lost or taken twice", () => {
		const { writer, reader } = ends(16);
		const open: InboxRecord[] = [];
		const seen = new Set<number>();
		const take = (record: PostedRecord): void => {
			assert.not(seen.has(record.number), `record ${record.number} twice`);
			seen.add(record.number);
			reader.took(record, []);
		};
		const takeAll = (): void => {
			for (let next = reader.next(Number.POSITIVE_INFINITY); next !== undefined; ) {
				take(next);
				next = reader.next(Number.POSITIVE_INFINITY);
			}
			for (const record of open.splice(0)) writer.giveBack(record);
		};
		let rounds = 0;
		for (let i = 0; i < 5000; i++) {
			const page = i % MEMORY_PAGES;
			const { bytes, checksum } = batchOf(page);
			let record = writer.post(bytes, checksum);
			if (record === undefined) {
				rounds++;
				takeAll();
				record = writer.post(bytes, checksum);
			}
			open.push(record!);
			if (i % 3 === 0) continue;
			take(i % 7 === 0 ? reader.next(Number.POSITIVE_INFINITY)! : reader.recordOf(page)!);
		}
		takeAll();
		assert.is(seen.size, 5000);
		assert.ok(rounds > 2, `${rounds} rounds`);
	});

	test("a table that lies about its length names nothing", () => {
		const { writer } = ends();
		const { bytes } = batchOf(3);
		for (const count of [1025, 0xffff_ffff, 300]) {
			const damaged = bytes.slice();
			new DataView(damaged.buffer).setUint32(0, count, true);
			assert.is(writer.post(damaged, 0n)!.pageIndices.length, 0);
		}
		assert.is(writer.post(new Uint8Array(3), 0n)!.pageIndices.length, 0);
	});

	test("messages are asked for once until they were read; the end wakes whoever waits", () => {
		const { writer, reader } = ends();
		assert.equal([writer.nudge(), writer.nudge()], [true, false]);
		reader.nudgeRead();
		assert.ok(writer.nudge());
		assert.equal([reader.news(), reader.news()], [true, false]);
		writer.newsRead();
		assert.ok(reader.news());
		const seen = reader.wakeups;
		writer.end();
		assert.ok(reader.ended);
		reader.wait(seen, 10_000);
	});

	test("figures of waits", () => {
		const { writer, reader } = ends();
		reader.countFault();
		reader.noteFault(0.5);
		reader.countFault();
		reader.noteFault(0.25);
		reader.countMinorFault();
		assert.equal(writer.report(), {
			faults: 2,
			minorFaults: 1,
			blockedMs: 0.75,
			latenciesMs: [0.5, 0.25],
			touchedPages: 0,
		});
	});
} else test("is for runtimes with a second WebAssembly memory", () => undefined);

test.run();
