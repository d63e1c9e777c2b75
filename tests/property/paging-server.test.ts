/**
 * The page server against a naive model: whatever faults and acknowledgements come when, every owed page goes out once, a
 * page that is waited for goes first, and the push keeps to its window and its order.
 */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { Conversation } from "../../bindings/handover/conversation.ts";
import { createInProcessLinks } from "../../bindings/links/in-process.ts";
import { pagesNamedBy } from "../../bindings/paging/batch-pages.ts";
import { PageServer, type ServingEnd } from "../../bindings/paging/page-server.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Lane } from "../../bindings/ports/link.ts";
import { PageHashTable } from "../../bindings/wire/digest.ts";
import { encodeRecord, type Record } from "../../bindings/wire/records.ts";

const test = suite("page server properties");

const PAGES = 96;
const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };
const REPORT = { faults: 0, minorFaults: 0, blockedMs: 0, p50Ms: 0, p90Ms: 0, maximumMs: 0, histogram: [] };

const guest = new MemoryGuest({ pageCount: PAGES });
for (let page = 0; page < PAGES; page++) guest.write(page * PAGE_BYTES, Uint8Array.of(1, page));
await guest.pause();

/** Batches as they left, with their lane. */
interface Sent {
	readonly lane: Lane;
	readonly pages: readonly number[];
}

/** A server whose target is the test. */
class Bench {
	readonly sent: Sent[] = [];
	/** Batches not yet acknowledged. */
	readonly underWay: Sent[] = [];
	readonly server: PageServer;
	readonly ended: Promise<ServingEnd | unknown>;
	readonly hashes = new PageHashTable(engine, PAGES);
	nowMs = 0;
	readonly #send: (record: Record) => void;

	constructor(owed: ReadonlySet<number>, recent: readonly number[], push: PushOrder) {
		const [near, far] = createInProcessLinks(LINK);
		const send = near.send.bind(near);
		near.send = (frame, lane = "bulk") => {
			const pages = pagesNamedBy(frame.payload);
			if (frame.type === 33) for (const list of [this.sent, this.underWay]) list.push({ lane, pages });
			return send(frame, lane);
		};
		void (async () => {
			for (;;) (await far.receive()).release();
		})().catch(() => undefined);
		this.#send = (record) => void far.send(encodeRecord(record), "urgent").catch(() => undefined);
		const bits = new Uint8Array(PAGES / 8);
		for (const page of owed) bits[page >>> 3]! |= 1 << (page & 7);
		const clock = {
			now: () => this.nowMs,
			sleep: (_: number, signal?: AbortSignal) =>
				new Promise<void>((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
		};
		const conversation = new Conversation(near);
		this.server = new PageServer(
			{ guest, clock, conversation, hashes: this.hashes },
			{
				...{ owed: bits, recent: Uint32Array.from(recent), push, stallMs: 1000 },
				...{ verification: "transport" as const, compression: () => false },
			},
		);
		this.ended = this.server.run(conversation.failed).catch((error: unknown) => error);
	}

	/** Lets everything happen that is ready. */
	async settle(): Promise<void> {
		for (let turn = 0; turn < 3; turn++) await systemClock.sleep(0);
	}

	fault(page: number): Promise<void> {
		this.#send({ type: "fault", pageIndices: Uint32Array.of(page) });
		return this.settle();
	}

	take(which: number): Promise<void> {
		const [batch] = this.underWay.splice(which % this.underWay.length, 1);
		this.#send({ type: "taken", pageIndex: batch!.pages[0]!, pageCount: batch!.pages.length });
		return this.settle();
	}

	complete(digest: string): Promise<void> {
		this.#send({ type: "complete", digest, pageCount: PAGES, report: REPORT });
		return this.settle();
	}

	get pagesUnderWay(): number {
		return this.underWay.reduce((sum, { pages }) => sum + pages.length, 0);
	}
}

const scenes = fc.record({
	owed: fc.uniqueArray(fc.nat(PAGES - 1), { minLength: 1, maxLength: PAGES }),
	recent: fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: 20 }),
	events: fc.array(
		fc.oneof(
			fc.record({ kind: fc.constant("fault" as const), at: fc.nat(1000) }),
			fc.record({
				kind: fc.constant("take" as const),
				which: fc.nat(20),
				afterMs: fc.double({ min: 0, max: 3, noNaN: true }),
			}),
		),
		{ maxLength: 40 },
	),
	push: fc.constantFrom<PushOrder>(
		activePush(),
		demandPaging(),
		prepaging(),
		prepaging({ pivots: 2, direction: "backward" }),
		prepaging({ direction: "forward", pivots: 3 }),
		prepaging({ order: "turns" }),
	),
});

test("every owed page goes out once, what is waited for at once, what is on its way not again", async () => {
	await fc.assert(
		fc.asyncProperty(scenes, async ({ owed, recent, events, push }) => {
			const bench = new Bench(new Set(owed), recent, push);
			await bench.settle();
			const out = (): number[] => bench.sent.flatMap(({ pages }) => pages);
			let [networkFaults, inFlightWaits] = [0, 0];
			const fault = async (page: number): Promise<void> => {
				const before = bench.sent.length;
				const known = out().includes(page);
				await bench.fault(page);
				const answers = bench.sent.slice(before).filter(({ lane }) => lane === "urgent");
				assert.equal(answers, known ? [] : [{ lane: "urgent", pages: [page] }]);
				if (known) inFlightWaits++;
				else {
					networkFaults++;
					assert.is(bench.sent[before]?.lane, "urgent", "nothing goes ahead of it");
				}
			};
			for (const event of events) {
				if (event.kind === "fault") await fault(owed[event.at % owed.length]!);
				else if (bench.underWay.length > 0) {
					bench.nowMs += event.afterMs;
					await bench.take(event.which);
				}
				// 8 pages, and what a fault adds whatever the window says.
				const pushed = bench.underWay
					.filter(({ lane }) => lane === "bulk")
					.reduce((sum, { pages }) => sum + pages.length, 0);
				assert.ok(pushed <= Math.max(8, 1.3 * PAGES), `${pushed} pushed pages under way`);
			}
			if (push.variant === "demand") for (const page of owed) if (!out().includes(page)) await fault(page);
			for (let guard = 0; bench.underWay.length > 0 || out().length < owed.length; guard++) {
				assert.ok(guard < 500, "the push has stalled");
				bench.nowMs += 0.5;
				if (bench.underWay.length > 0) await bench.take(0);
				else await bench.settle();
			}
			assert.equal(
				out().sort((a, b) => a - b),
				[...owed].sort((a, b) => a - b),
			);
			const facts = bench.server.facts;
			assert.is(facts.networkFaults, networkFaults);
			assert.is(facts.inFlightWaits, inFlightWaits);
			assert.is(facts.pushedPages, owed.length - networkFaults);
			await bench.complete(bench.hashes.digest(new Uint8Array(0)));
			assert.equal(await bench.ended, { corruptPages: [], corruptCount: 0, report: REPORT });
		}),
		{ numRuns: 120 },
	);
});

test("active push keeps to the order of use, then of addresses", async () => {
	await fc.assert(
		fc.asyncProperty(scenes, async ({ owed, recent }) => {
			const bench = new Bench(new Set(owed), recent, activePush());
			await bench.settle();
			while (bench.underWay.length > 0) {
				bench.nowMs += 1;
				await bench.take(0);
			}
			const used = recent.filter((page) => owed.includes(page));
			const expected = [...used, ...owed.filter((page) => !used.includes(page)).sort((a, b) => a - b)];
			let at = 0;
			// In a batch pages ascend: that is the format.
			for (const { pages } of bench.sent) {
				const some = expected.slice(at, at + pages.length).sort((a, b) => a - b);
				assert.equal(pages, some);
				at += pages.length;
			}
			assert.is(at, owed.length);
		}),
		{ numRuns: 40 },
	);
});

test("the push stops at its window until something is taken", async () => {
	const bench = new Bench(new Set(Array.from({ length: PAGES }, (_, page) => page)), [], activePush());
	for (let turn = 0; turn < 10; turn++) await bench.settle();
	assert.is(bench.pagesUnderWay, 8);
	await bench.take(0);
	assert.is(bench.pagesUnderWay, 8);
});

test("a target that says what cannot be is refused by name", async () => {
	const wrong: readonly (readonly [RegExp, (bench: Bench) => Promise<void>])[] = [
		[/page 50, which it has/, (bench) => bench.fault(50)],
		[/page 4000, which it has/, (bench) => bench.fault(4000)],
		[/pages are still owed/, (bench) => bench.complete("0".repeat(32))],
	];
	for (const [message, say] of wrong) {
		const bench = new Bench(new Set([1, 2, 3]), [], prepaging());
		await bench.settle();
		await say(bench);
		assert.match(String(await bench.ended), message);
	}
	const bench = new Bench(new Set([1, 2, 3]), [], prepaging());
	await bench.settle();
	bench.underWay.unshift({ lane: "bulk", pages: [2, 3] });
	await bench.take(0);
	assert.match(String(await bench.ended), /there is none/);
});

test.run();
