// Every method of every handle that takes a size, an index, a range or a region refuses a wrong one with a RangeError that
// names it, before anything is written. A method that is in neither list below fails the suite. The batch coder's handles
// have their own suites (engine-batch, engine-batch-deltas).
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BalloonAccount } from "../../bindings/engine/balloon.ts";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { BubblingQueue } from "../../bindings/engine/bubble.ts";
import { PageComparer } from "../../bindings/engine/compare.ts";
import { Delta } from "../../bindings/engine/delta.ts";
import { createEngine, Engine } from "../../bindings/engine/engine.ts";
import { Hasher128, hash64Region, PageHasher } from "../../bindings/engine/hash.ts";
import { GuestMemoryKernels } from "../../bindings/engine/inplace.ts";
import { Lz4 } from "../../bindings/engine/lz4.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { PreCopyStep } from "../../bindings/engine/precopy.ts";
import { ZeroScanner } from "../../bindings/engine/zero.ts";

const test = suite("arguments of the engine's handles");
const PAGE = 4096;

const engine = createEngine();
const pages = engine.allocate(4 * PAGE);
const small = engine.allocate(2 * PAGE);
const list = new PageList(engine, 8);
const bitmap = new Bitmap(engine, 100);
const narrow = new Bitmap(engine, 3);
const comparer = new PageComparer(engine);
const zero = new ZeroScanner(engine);
const hasher = new PageHasher(engine);
const stream = new Hasher128(engine);
const delta = new Delta(engine);
const lz4 = new Lz4(engine);
const account = new BalloonAccount(engine, 100);
const queue = new BubblingQueue(engine, 10, Uint32Array.of(1, 2, 3));
const step = new PreCopyStep(engine, 100);
const guest = new GuestMemoryKernels(engine, new WebAssembly.Memory({ initial: 1 }));
const page = new Uint8Array(PAGE);
const beyond = { offset: engine.usedBytes, byteLength: 64 };
const forged = { offset: pages.offset, byteLength: Number.NaN };

/** No indices of 100 things. */
const NO_INDEX = [-1, 100, 0.5, Number.NaN, Infinity];

type Refusal = readonly [method: string, argument: RegExp, call: () => unknown];

const refusals: readonly Refusal[] = [
	["Engine.allocate", /^byteLength/, () => engine.allocate(2 ** 32)],
	["Engine.allocate", /^align/, () => engine.allocate(8, 0)],
	["Engine.view", /^region/, () => engine.view(beyond)],
	["Engine.view", /^region/, () => engine.view(forged)],
	["Engine.prefault", /^region/, () => engine.prefault(beyond)],
	["Engine.checkRegion", /^pages/, () => engine.checkRegion("pages", small, 3 * PAGE)],
	["Engine.checkRegion", /^pages/, () => engine.checkRegion("pages", forged, 0)],
	["PageList.constructor", /^capacity/, () => new PageList(engine, 0)],
	["PageList.load", /^indices.length/, () => list.load(new Uint32Array(9))],
	["PageList.load", /^indices\[1\]/, () => list.load([1, 2 ** 32])],
	["Bitmap.constructor", /^bitCount/, () => new Bitmap(engine, 2 ** 31)],
	...NO_INDEX.flatMap((index): Refusal[] => [
		["Bitmap.set", /^index/, () => bitmap.set(index)],
		["Bitmap.clear", /^index/, () => bitmap.clear(index)],
		["Bitmap.has", /^index/, () => bitmap.has(index)],
	]),
	["Bitmap.setRange", /^count/, () => bitmap.setRange(90, 11)],
	["Bitmap.clearRange", /^first/, () => bitmap.clearRange(-1, 1)],
	["Bitmap.countRange", /^count/, () => bitmap.countRange(0, 101)],
	["Bitmap.checkRange", /^count/, () => bitmap.checkRange(0, 0.5)],
	["Bitmap.checkPeer", /^peer/, () => bitmap.checkPeer("peer", narrow)],
	["Bitmap.next", /^first/, () => bitmap.next(101)],
	["Bitmap.andNot", /^other/, () => bitmap.andNot(narrow)],
	["Bitmap.or", /^other/, () => bitmap.or(narrow)],
	["Bitmap.and", /^other/, () => bitmap.and(narrow)],
	["Bitmap.copyFrom", /^other/, () => bitmap.copyFrom(narrow)],
	["Bitmap.equals", /^other/, () => bitmap.equals(narrow)],
	["Bitmap.list", /^count/, () => bitmap.list(50, 51)],
	["Bitmap.listInto", /^count/, () => bitmap.listInto(list, 50, 51)],
	["Bitmap.harvestInto", /^first/, () => bitmap.harvestInto(list, 101)],
	["Bitmap.loadBytes", /^bytes/, () => bitmap.loadBytes(new Uint8Array(14))],
	["Bitmap.rangeBytes", /^first/, () => bitmap.rangeBytes(4, 8)],
	["Bitmap.rangeBytes", /^count/, () => bitmap.rangeBytes(8, 93)],
	["Bitmap.loadRange", /^bytes/, () => bitmap.loadRange(8, 9, new Uint8Array(1))],
	["Bitmap.orRange", /^bytes/, () => bitmap.orRange(8, 9, new Uint8Array(1))],
	["PageComparer.compare", /^a: page count/, () => comparer.compare(small, pages, bitmap, 0, 3)],
	["PageComparer.compare", /^b: page count/, () => comparer.compare(pages, small, bitmap)],
	["PageComparer.compare", /^a: first page/, () => comparer.compare(pages, pages, bitmap, 5)],
	["PageComparer.compare", /^count/, () => comparer.compare(pages, pages, narrow)],
	["PageComparer.compare", /^a is no region/, () => comparer.compare(beyond, pages, bitmap)],
	["ZeroScanner.scan", /^pages: page count/, () => zero.scan(small, bitmap, 1, 2)],
	["ZeroScanner.scan", /^count/, () => zero.scan(pages, narrow)],
	["PageHasher.hashPages", /^pages: page count/, () => hasher.hashPages(small, 0, 3)],
	["PageHasher.hashPagesInto", /^pages: first page/, () => hasher.hashPagesInto(small, 3, 0, pages)],
	["PageHasher.hashPagesInto", /^into/, () => hasher.hashPagesInto(pages, 0, 4, { ...pages, byteLength: 63 })],
	["PageHasher.hashList", /^list: page index/, () => hasher.hashList(small, loaded([0, 2]))],
	["Hasher128.updateRegion", /^region/, () => stream.updateRegion(beyond)],
	["hash64Region", /^region/, () => hash64Region(engine, forged)],
	["Delta.encode", /^format/, () => delta.encode("lz4" as "xbzrle", page, page)],
	["Delta.encode", /^before/, () => delta.encode("xbzrle", page.subarray(1), page)],
	["Delta.encode", /^after/, () => delta.encode("xbzrle", page, new Uint8Array(PAGE + 1))],
	["Delta.decode", /^format/, () => delta.decode("" as "xbzrle", page, page)],
	["Delta.decode", /^before/, () => delta.decode("word-mask", page, new Uint8Array(0))],
	["Lz4.encode", /^bytes.byteLength/, () => lz4.encode(new Uint8Array(65_537))],
	["Lz4.decode", /^byteLength/, () => lz4.decode(page, 65_537)],
	["Lz4.decode", /^block.byteLength/, () => lz4.decode(new Uint8Array(70_000), 100)],
	["BalloonAccount.constructor", /^bitCount/, () => new BalloonAccount(engine, 0)],
	["BalloonAccount.constructor", /^options.targetPercent/, () => new BalloonAccount(engine, 1, { targetPercent: 101 })],
	["BalloonAccount.interval", /^freePages/, () => account.interval(101)],
	["BalloonAccount.pressure", /^pages/, () => account.pressure(-1)],
	["BalloonAccount.inflated", /^pages: page index/, () => account.inflated(loaded([100]))],
	["BalloonAccount.deflated", /^pages: page index/, () => account.deflated(loaded([100]))],
	["BubblingQueue.constructor", /^pageCount/, () => new BubblingQueue(engine, 0, new Uint32Array(0))],
	["BubblingQueue.constructor", /^order\[1\]/, () => new BubblingQueue(engine, 4, Uint32Array.of(1, 1))],
	["BubblingQueue.constructor", /^options.pushOrder/, () => badQueue({ pushOrder: "turn" })],
	["BubblingQueue.constructor", /^options.direction/, () => badQueue({ direction: "up" })],
	["BubblingQueue.start", /^order.length/, () => queue.start(Uint32Array.of(1, 2, 3, 4))],
	["BubblingQueue.start", /^order\[0\]/, () => queue.start(Uint32Array.of(10))],
	["BubblingQueue.fault", /^page/, () => queue.fault(2 ** 32)],
	["BubblingQueue.push", /^count/, () => queue.push(list, 9)],
	["BubblingQueue.putBack", /^page/, () => queue.putBack(-1)],
	["PreCopyStep.constructor", /^bitCount/, () => new PreCopyStep(engine, 0)],
	["PreCopyStep.step", /^count/, () => step.step(list, 1, 100, false)],
	["GuestMemoryKernels.compareToShadow", /^first/, () => guest.compareToShadow(pages, 17, 0, bitmap)],
	["GuestMemoryKernels.compareToShadow", /^shadow: page count/, () => guest.compareToShadow(small, 0, 3, bitmap)],
	["GuestMemoryKernels.compareToShadow", /^count/, () => guest.compareToShadow(pages, 0, 4, narrow)],
	["GuestMemoryKernels.zeroPages", /^count/, () => guest.zeroPages(0, 4, narrow)],
	["GuestMemoryKernels.hashPages", /^count/, () => guest.hashPages(8, 9)],
	["GuestMemoryKernels.hashPagesInto", /^into/, () => guest.hashPagesInto(0, 4, { ...pages, byteLength: 63 })],
	["GuestMemoryKernels.copyOut", /^into: page count/, () => guest.copyOut(0, 3, small)],
];

/** Methods without a size, an index, a range or a region. */
const FREE: Readonly<Record<string, readonly string[]>> = {
	Engine: ["bytes", "words", "usedBytes", "dispose"],
	PageList: ["view", "toArray"],
	Bitmap: ["setAll", "clearAll", "count", "harvestList", "runs", "harvestRuns", "toBytes", "noteWritten"],
	BalloonAccount: ["size", "free", "backOffLeft"],
	BubblingQueue: ["owed", "remaining", "swept"],
	Hasher128: ["reset", "update", "digest"],
	GuestMemoryKernels: ["pageCount"],
};

function loaded(indices: number[]): PageList {
	list.load(indices);
	return list;
}

function badQueue(options: object): BubblingQueue {
	return new BubblingQueue(engine, 4, new Uint32Array(0), options);
}

test("a wrong size, index, range or region is refused by name", () => {
	for (const [method, argument, call] of refusals) {
		let refusal: unknown;
		try {
			call();
		} catch (error) {
			refusal = error;
		}
		assert.instance(refusal, RangeError, `${method}: ${argument}`);
		assert.match((refusal as RangeError).message, argument, method);
	}
	assert.is(bitmap.count() + narrow.count() + account.size, 0, "nothing was written");
});

test("every method of every handle is looked at", () => {
	const handles = [
		Engine,
		PageList,
		Bitmap,
		PageComparer,
		ZeroScanner,
		PageHasher,
		Hasher128,
		Delta,
		Lz4,
		BalloonAccount,
		BubblingQueue,
		PreCopyStep,
		GuestMemoryKernels,
	];
	const refused = new Set(refusals.map(([method]) => method));
	for (const { name, prototype } of handles)
		for (const method of Object.getOwnPropertyNames(prototype))
			if (method !== "constructor" && !(FREE[name] ?? []).includes(method))
				assert.ok(refused.has(`${name}.${method}`), `${name}.${method} is in neither list`);
});

test.run();
