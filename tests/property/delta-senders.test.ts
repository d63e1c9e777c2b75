// Senders beside a guest's memory, scanned with a shadow: whatever is written, put back, lost or sent past them, the receiver
// ends with the same memory, and never installs a page that it was not meant to have.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchError, batchLimitBytes } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { compileEngines } from "../../bindings/guests/wasm/compiled-engine.ts";
import { PageWork } from "../../bindings/guests/wasm/page-work.ts";
import type { DeltaOrder } from "../../bindings/guests/wasm/protocol.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("senders of deltas beside a guest");
const compiled = compileEngines();
const decoder = new BatchDecoder(createEngine());
const PAGES = 48;
const PAGE = 4096;

/** Runs a job to its end, with something happening at each of its rests. */
function run<T>(job: Generator<void, T>, between: () => void = () => undefined): T {
	for (;;) {
		const step = job.next();
		if (step.done === true) return step.value;
		between();
	}
}

const write = fc.record({
	page: fc.nat(PAGES - 1),
	at: fc.nat(PAGE - 1),
	value: fc.nat(255),
	how: fc.constantFrom("byte", "byte", "byte", "fill", "noise"),
});
const round = fc.record({
	writes: fc.array(write, { maxLength: 16 }),
	/** At the rests of the harvest and of the encoding. */
	between: fc.array(write, { maxLength: 6 }),
	link: fc.constantFrom(undefined, 1000, 500_000, Number.POSITIVE_INFINITY),
	/** What becomes of the round's batches: lost from this one on, so that their pages are put back. */
	lostFrom: fc.constantFrom(undefined, undefined, 0, 1),
	/** Some pages go past the sender, which is told. */
	past: fc.constantFrom(false, false, false, true),
	remember: fc.constantFrom(true, true, false),
});

const pagesOf = (bits: Uint8Array): number[] =>
	Array.from({ length: PAGES }, (_, page) => page).filter((page) => ((bits[page >> 3]! >> (page & 7)) & 1) === 1);

for (const [name, options] of [
	["a shadow in shards", { keepShadow: false, shardPages: 64 }],
	["one shadow, a clock", { keepShadow: false, now: () => 1 }],
] as const)
	test(`${name}: writes, lost batches, pages put back and pages sent past it`, () => {
		fc.assert(
			fc.property(
				fc.array(round, { minLength: 2, maxLength: 8 }),
				fc.constantFrom(1, 8, 64),
				fc.integer({ min: 1, max: 9 }),
				(rounds, sentPages, batchPages) => {
					const memory = new WebAssembly.Memory({ initial: PAGES / 16 });
					const live = new Uint8Array(memory.buffer);
					live.set(pseudoRandomBytes(5, 8 * PAGE), 4 * PAGE);
					const copy = live.slice();
					const work = new PageWork(memory, compiled, options);
					const { cursor } = run(work.open());
					const { sender } = work.senders.open(sentPages);
					const encode = (pages: readonly number[], link: number | undefined, deltas: DeltaOrder | undefined) => {
						const buffer = new ArrayBuffer(batchLimitBytes(1024));
						const order = {
							pageIndices: Uint32Array.from(pages),
							compress: true,
							linkBytesPerMs: link,
							deltas,
							buffer,
						};
						const { byteLength, checksum } = run(
							work.encode(order, () => false),
							scribbleNext,
						);
						return { bytes: new Uint8Array(buffer, 0, byteLength), checksum };
					};
					const install = ({ bytes, checksum }: ReturnType<typeof encode>): void =>
						decoder.decode(bytes, { pageCount: PAGES, checksum, base: copy }).install(copy);
					let between: (typeof rounds)[0]["writes"] = [];
					const scribble = ({ page, at, value, how }: (typeof rounds)[0]["writes"][0]): void => {
						if (how === "byte") live[page * PAGE + at] = value;
						else if (how === "fill") live.fill(value, page * PAGE, (page + 1) * PAGE);
						else live.set(pseudoRandomBytes(value + 1, PAGE), page * PAGE);
					};
					const scribbleNext = (): void => {
						const next = between.shift();
						if (next !== undefined) scribble(next);
					};
					rounds.forEach(({ writes, between: later, link, lostFrom, past, remember }, generation) => {
						for (const one of writes) scribble(one);
						between = [...later];
						const dirty = pagesOf(run(work.harvest({ cursor }), scribbleNext).bits);
						const deltas = { sender, generation, remember };
						const batches: { readonly pages: number[]; readonly batch: ReturnType<typeof encode> }[] = [];
						for (let from = 0; from < dirty.length; from += batchPages) {
							const pages = dirty.slice(from, from + batchPages);
							batches.push({ pages, batch: encode(pages, link, past ? undefined : deltas) });
						}
						if (past) work.senders.encoder(sender).forgetSent();
						const arrive = lostFrom === undefined ? batches.length : Math.min(lostFrom, batches.length);
						for (const { batch } of batches.slice(0, arrive)) install(batch);
						if (arrive === batches.length) return;
						// The round has failed: its other pages are dirty again, and nobody knows what the receiver has of them.
						const bits = new Uint8Array(PAGES / 8);
						for (const { pages } of batches.slice(arrive))
							for (const page of pages) bits[page >> 3]! |= 1 << (page & 7);
						work.putBack({ cursor, bits });
						work.senders.encoder(sender).forgetSent();
					});
					between = [];
					const rest = pagesOf(run(work.harvest({ cursor })).bits);
					install(encode(rest, undefined, { sender, generation: rounds.length, remember: false }));
					assert.equal(copy, live);
					work.senders.close(sender);
					work.close({ cursor });
					work.dispose();
				},
			),
			{ numRuns: 60 },
		);
	});

test("a sender that is not told of a lost batch is found out by the receiver, which installs nothing", () => {
	const memory = new WebAssembly.Memory({ initial: 1 });
	const live = new Uint8Array(memory.buffer);
	live.set(pseudoRandomBytes(7, PAGE));
	const copy = live.slice();
	const work = new PageWork(memory, compiled, { keepShadow: false });
	const { sender } = work.senders.open(8);
	const send = (generation: number) => {
		const buffer = new ArrayBuffer(batchLimitBytes(1));
		const deltas = { sender, generation, remember: true };
		const order = { pageIndices: Uint32Array.of(0), compress: false, linkBytesPerMs: undefined, deltas, buffer };
		const { byteLength, checksum } = run(work.encode(order, () => true));
		return { bytes: new Uint8Array(buffer, 0, byteLength), checksum };
	};
	send(1); // lost
	live[9]! ^= 1;
	send(2); // a delta, lost too
	live[4000]! ^= 1;
	const { bytes, checksum } = send(3);
	assert.ok(bytes.byteLength < 200);
	const before = copy.slice();
	try {
		decoder.decode(bytes, { pageCount: 16, checksum, base: new Uint8Array(16 * PAGE).fill(1) });
		assert.unreachable();
	} catch (error) {
		assert.instance(error, BatchError);
	}
	assert.equal(copy, before);
	assert.throws(() => work.senders.encoder(99), TypeError);
	work.dispose();
});

test.run();
