// Third-party programs in watched code: no write of theirs goes unmarked, they go on while their pages arrive, and they
// change to watched code and back in the middle of their lives.
import { Buffer } from "node:buffer";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MarkedPages } from "../../bindings/guests/wasm/marked-pages.ts";
import { MissingMap } from "../../bindings/guests/wasm/missing-map.ts";
import { WATCHED } from "../../bindings/guests/wasm/module/instrument.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { callback } from "../wasm/callback.ts";
import { LIVE_PROGRAMS, type LiveInstance, type LiveProgram } from "../wasm/live-programs.ts";

const PAGE_BYTES = 4096;
const test = suite("wasm programs in watched code");

// Hash seeds come from the clock and from random numbers: without them two instances have equal memories.
Object.assign(Math, { random: () => 0.5 });
Object.assign(Date, { now: () => 1_700_000_000_000 });
Object.assign(performance, { now: () => 1000 });

/** One call from the host in this many is looked at, with all crossings inside it: comparing memories is slow. */
const CALLS_PER_CHECK = 5;

/** Compares the marks with what really changed, whenever the guest gives way to the host. */
class BarrierCheck {
	#calls = 0;
	#looking = false;
	readonly #live: LiveInstance;
	readonly #marked: MarkedPages;
	#shadow: Uint8Array;
	depth = 0;
	segments = 0;
	changedPages = 0;
	/** Pages that the host wrote to, which no barrier can see. */
	hostPages = 0;
	readonly missed: string[] = [];

	constructor(live: LiveInstance) {
		this.#live = live;
		this.#marked = new MarkedPages(live.exports[WATCHED.map] as WebAssembly.Memory, live.memory);
		this.#shadow = live.memory.slice();
	}

	enterGuest(): void {
		if (this.depth++ === 0) {
			this.#looking = this.#calls++ % CALLS_PER_CHECK === 0;
			if (this.#looking) this.#marked.harvest(this.#live.memory);
		}
		if (this.#looking) this.hostPages += this.#changed().length;
	}

	leaveGuest(): void {
		this.depth--;
		if (!this.#looking) return;
		const memory = this.#live.memory;
		const marked = new Set(this.#marked.harvest(memory));
		const changed = this.#changed();
		this.segments++;
		this.changedPages += changed.length;
		for (const pageIndex of changed) if (!marked.has(pageIndex)) this.missed.push(`${pageIndex}`);
	}

	/** @returns pages that differ from the shadow, which is then like memory */
	#changed(): number[] {
		const { memory } = this.#live;
		if (memory.length !== this.#shadow.length) {
			const grown = new Uint8Array(memory.length);
			grown.set(this.#shadow);
			this.#shadow = grown;
		}
		const pages: number[] = [];
		const CHUNK = 64 * PAGE_BYTES;
		for (let chunk = 0; chunk < memory.length; chunk += CHUNK) {
			if (Buffer.compare(memory.subarray(chunk, chunk + CHUNK), this.#shadow.subarray(chunk, chunk + CHUNK)) === 0)
				continue;
			for (let start = chunk; start < chunk + CHUNK && start < memory.length; start += PAGE_BYTES) {
				const page = memory.subarray(start, start + PAGE_BYTES);
				if (Buffer.compare(page, this.#shadow.subarray(start, start + PAGE_BYTES)) === 0) continue;
				pages.push(start / PAGE_BYTES);
				this.#shadow.set(page, start);
			}
		}
		return pages;
	}
}

async function barrierSeesAllWrites(start: (typeof LIVE_PROGRAMS)["lua"]): Promise<void> {
	const { live, chat, work } = await start({ trackWrites: true });
	const check = new BarrierCheck(live);
	live.crossings = check;
	chat();
	work();
	live.crossings = null;
	assert.equal(check.missed, []);
	assert.is(check.depth, 0);
	assert.ok(check.segments > 25 && check.changedPages > 100, `${check.segments} segments, ${check.changedPages} pages`);
	assert.ok(check.hostPages > 0, "the glue writes too, which is why host access must be declared");
}

/** Takes all pages away at a call boundary. @returns what is still to come, and how to bring it all */
function takeAway(live: LiveInstance, watched: WebAssembly.Exports) {
	const whole = live.memory.slice();
	const pageCount = whole.length / PAGE_BYTES;
	const missing = new MissingMap(
		watched[WATCHED.map] as WebAssembly.Memory,
		new Uint8Array(pageCount / 8 + 1).fill(0xff),
		pageCount,
	);
	live.memory.fill(0xee);
	let faults = 0;
	const place = (pageIndex: number) => {
		if (!missing.has(pageIndex)) return;
		const start = pageIndex * PAGE_BYTES;
		live.memory.set(whole.subarray(start, start + PAGE_BYTES), start);
		missing.arrived(pageIndex);
		missing.touch(pageIndex);
	};
	const arrive = callback((pageIndex) => {
		faults++;
		place(missing.has(pageIndex) ? pageIndex : pageIndex + 1);
	});
	(watched[WATCHED.arrive] as WebAssembly.Table).set(0, arrive);
	const bringAll = () => {
		for (let pageIndex = 0; pageIndex < pageCount; pageIndex++) place(pageIndex);
	};
	return { faults: () => faults, bringAll, remaining: () => missing.remaining };
}

async function goesOnWhilePagesArrive(start: (typeof LIVE_PROGRAMS)["lua"]): Promise<void> {
	const undisturbed = await start({});
	const moved = await start({});
	const both = (program: LiveProgram) => [program.work(), program.work()];
	const first = undisturbed.work();
	assert.is(moved.work(), first);
	const plain = moved.live.prepare({});
	const watched = moved.live.prepare({ checkPresence: true });
	moved.live.takeOver(watched);
	const pages = takeAway(moved.live, watched);
	assert.equal(both(moved), both(undisturbed));
	assert.ok(pages.faults() > 100, `${pages.faults()} faults`);
	assert.ok(pages.remaining() > 0, "some pages were never needed");
	pages.bringAll();
	const last = undisturbed.work();
	assert.is(moved.work(), last);
	moved.live.takeOver(plain);
	assert.equal(both(moved), both(undisturbed));
	assert.is(Buffer.compare(moved.live.memory, undisturbed.live.memory), 0);
}

async function changesCodeInMidLife(start: (typeof LIVE_PROGRAMS)["lua"]): Promise<void> {
	const undisturbed = await start({});
	const changing = await start({});
	const { live } = changing;
	const variants = [{}, { trackWrites: true }, { trackWrites: true, checkPresence: true }, {}];
	for (const options of variants) {
		const next = live.prepare(options);
		const map = next[WATCHED.map];
		live.takeOver(next);
		const marked = map instanceof WebAssembly.Memory ? new MarkedPages(map, live.memory) : null;
		const before = live.memory.slice();
		assert.is(changing.work(), undisturbed.work());
		changing.chat();
		undisturbed.chat();
		if (marked !== null) assert.ok(marked.harvest(live.memory).length > 10, "the barrier marks again");
		assert.ok(Buffer.compare(before, live.memory) !== 0);
	}
	assert.is(Buffer.compare(live.memory, undisturbed.live.memory), 0);
}

if (supportsInstrumentation())
	for (const [name, start] of Object.entries(LIVE_PROGRAMS)) {
		test(`${name}: every page that the guest changed was marked`, () => barrierSeesAllWrites(start));
		test(`${name}: it goes on while its pages arrive, and in plain code afterwards`, () =>
			goesOnWhilePagesArrive(start));
		test(`${name}: it changes to watched code and back while it lives`, () => changesCodeInMidLife(start));
	}
else
	test("without a second memory, a program still changes to other plain code in mid-life", async () => {
		const undisturbed = await LIVE_PROGRAMS.lua({});
		const changing = await LIVE_PROGRAMS.lua({});
		changing.live.takeOver(changing.live.prepare({}));
		assert.is(changing.work(), undisturbed.work());
		assert.is(Buffer.compare(changing.live.memory, undisturbed.live.memory), 0);
	});

test.run();
