// A wasm guest that runs while pages are missing, driven by its own code: tests/contract/suites/faulting-guest.ts drives it
// from outside.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ProgramError } from "../../bindings/guests/wasm/errors.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, rejection, startGuest } from "../wasm/open-guests.ts";
import { type PagedFunction, pagedModule } from "../wasm/paged-module.ts";
import type { PagedRequest } from "../wasm/paged-program.ts";
import { type PostCopyByHand, postCopyByHand } from "../wasm/post-copy-by-hand.ts";

const test = suite("wasm guest: missing pages");
test.after.each(discardGuests);

const PAGE = 4096;
const factory = await WasmGuestFactory.open({
	...(await guestPorts()),
	programUrls: ["paged", "scratch", "sneaky"].map(programUrl),
});

function ask(guest: WasmGuest, request: PagedRequest): Promise<unknown> {
	return guest.call(request);
}

function run(guest: WasmGuest, name: PagedFunction, ...values: (number | bigint)[]): Promise<unknown> {
	return ask(guest, { call: name, values });
}

const contentOf = (page: number): Uint8Array =>
	Uint8Array.from({ length: PAGE }, (_, i) => (page * 37 + i * 11) & 0xff);

/** A source with something in every page. */
async function filledSource(wasmPages = 16): Promise<WasmGuest> {
	const source = await startGuest("paged", { moduleBytes: pagedModule(wasmPages) });
	const { pageCount } = source.pages;
	for (let page = 0; page < pageCount; page += 1) await ask(source, { write: page * PAGE, bytes: contentOf(page) });
	return source;
}

async function scene(wasmPages = 16): Promise<PostCopyByHand> {
	return postCopyByHand(await filledSource(wasmPages), factory);
}

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

if (supportsInstrumentation()) {
	test("code waits for the page it loads from, stores to, copies, fills", async () => {
		const { target, asked, serve } = await scene();
		serve();
		assert.is(await run(target, "load8", 5 * PAGE + 7), contentOf(5)[7]);
		await run(target, "store8", 9 * PAGE + 1, 77);
		assert.is(await run(target, "load8", 9 * PAGE + 2), contentOf(9)[2]);
		await run(target, "copy", 20 * PAGE, 30 * PAGE + 8, 2 * PAGE);
		assert.equal(new Set(asked), new Set([5, 9, 20, 21, 30, 31, 32]));
		await run(target, "fill", 40 * PAGE + 100, 3, PAGE);
		assert.equal(new Set(asked.slice(7)), new Set([40, 41]));
		assert.equal(
			await ask(target, { read: 20 * PAGE, byteLength: PAGE - 8 }),
			contentOf(30).slice(8),
			"a copy between missing pages",
		);
		assert.is(target.faulting.faultReport().faults, asked.length);
	});

	test("an access that crosses pages has both, and asks for the second only then", async () => {
		const { source, target, asked, serve } = await scene();
		serve();
		assert.is(await run(target, "load8", 5 * PAGE + 4000), contentOf(5)[4000]);
		assert.equal(asked, [5]);
		const straddling = (page: number) => {
			const bytes = new Uint8Array(8);
			bytes.set(contentOf(page).subarray(PAGE - 3));
			bytes.set(contentOf(page + 1).subarray(0, 5), 3);
			return new DataView(bytes.buffer).getBigInt64(0, true);
		};
		assert.is(await run(target, "load64", 6 * PAGE - 3), straddling(5));
		assert.equal(asked, [5, 6]);
		assert.is(await run(target, "load64", 11 * PAGE - 3), straddling(10));
		assert.equal(asked, [5, 6, 10, 11]);
		await run(target, "store64", 16 * PAGE - 4, 0x1122334455667788n);
		assert.equal(asked, [5, 6, 10, 11, 15, 16]);
		assert.is(await run(target, "load64", 16 * PAGE - 4), 0x1122334455667788n);
		assert.is(await run(target, "load8", source.pages.pageCount * PAGE - 1), contentOf(255)[PAGE - 1]);
	});

	test("a fault is answered while pages are pushed", async () => {
		const { target, asked, push, serve } = await scene(64);
		serve();
		const sweep = run(target, "sweep", 600 * PAGE, 640 * PAGE, 2000);
		for (let first = 0; first < 512; first += 16) await push(range(first, 16));
		await sweep;
		assert.equal(asked, range(600, 40));
		const { faults, latenciesMs, minorFaults } = target.faulting.faultReport();
		assert.is(faults, 40);
		assert.is(latenciesMs.length, 40);
		assert.is(minorFaults, 0);
	});

	test("the push finishes while one long call that never faults runs", async () => {
		const { source, target, asked, push } = await scene(64);
		const started = performance.now();
		let callEnded = false;
		const call = run(target, "spin", 1_500_000_000).then(() => {
			callEnded = true;
		});
		const { pageCount } = source.pages;
		let taken = 0;
		const installs: Promise<unknown>[] = [];
		for (let first = 0; first < pageCount; first += 64) installs.push(push(range(first, 64), () => (taken += 64)));
		while (taken < pageCount && !callEnded) await new Promise((resolve) => setTimeout(resolve, 1));
		console.log(`${taken} pages were pushed in ${(performance.now() - started).toFixed(0)} ms of a call`);
		assert.not(callEnded, "the call ended before the push");
		await call;
		await Promise.all(installs);
		assert.equal(asked, []);
		await target.faulting.end();
	});

	test("pages that came while the guest computed are minor faults, and one batch at a time is installed", async () => {
		const { target, asked, push } = await scene();
		const call = run(target, "spin", 200_000_000);
		const next = run(target, "sweep", 0, 256 * PAGE, 1);
		let taken = 0;
		const installs = range(0, 16).map((i) => push(range(i * 16, 16), () => taken++));
		await Promise.all([call, next, ...installs]);
		assert.equal(asked, []);
		assert.is(taken, 16);
		const { faults, minorFaults } = target.faulting.faultReport();
		assert.is(faults, 0);
		assert.ok(minorFaults <= 16, `${minorFaults} minor faults`);
	});

	test("pages that came in vain are told from those that were used, whoever used them", async () => {
		const { target, push, serve, finish } = await scene();
		const touched = () => target.faulting.faultReport().touchedPages;
		serve();
		await push(range(0, 16));
		assert.is(touched(), 0);
		for (let round = 0; round < 3; round++) assert.is(await run(target, "load8", 3 * PAGE + 7), contentOf(3)[7]);
		await run(target, "store8", 5 * PAGE, 1);
		assert.is(touched(), 2);
		assert.equal(await ask(target, { read: 9 * PAGE, byteLength: 1 }), contentOf(9).slice(0, 1));
		assert.is(touched(), 3, "by the host");
		await run(target, "copy", 10 * PAGE, 12 * PAGE, 1);
		assert.is(touched(), 5, "as a range");
		await run(target, "load8", 20 * PAGE);
		assert.is(touched(), 6, "by a wait");
		await run(target, "load64", 15 * PAGE + PAGE - 4);
		assert.is(touched(), 8, "an edge, and what it waited for");
		await finish();
		await run(target, "sweep", 0, 256 * PAGE, 1);
		assert.is(touched(), 8, "nobody looks any more");
	});

	test("after the last page plain code runs again, with its globals, tables and dropped segments", async () => {
		const source = await filledSource();
		await run(source, "exchange");
		await run(source, "dropSegment");
		await run(source, "count");
		const { target, serve, finish } = await postCopyByHand(source, factory);
		serve();
		assert.is(await run(target, "count"), 2);
		assert.is(await run(target, "picked"), 2);
		assert.is(await ask(target, { cached: true }), 2);
		const checked = await timed(() => run(target, "sum", 0, 200 * PAGE, 30));
		await run(target, "exchange");
		await finish();
		assert.is((await target.memoryUse()).code, "plain");
		assert.is(await run(target, "count"), 3);
		assert.is(await run(target, "picked"), 1);
		assert.is(await ask(target, { cached: true }), 1, "a function that the table gave out before calls the old code");
		assert.is((await rejection(run(target, "init", 0))).code, "trap");
		const plain = await timed(() => run(target, "sum", 0, 200 * PAGE, 30));
		console.log(`checked ${(checked / plain).toFixed(2)} times the time of plain code`);
	});

	test("checks end at a call boundary, not within a call that waits", async () => {
		const { target, finish } = await scene();
		const call = ask(target, { waitMs: 300 });
		await finish();
		assert.is((await target.memoryUse()).code, "presence");
		await call;
		assert.is((await target.memoryUse()).code, "plain");
	});

	test("a trap at the target is the guest's, and the guest stays usable", async () => {
		const { target, serve, finish } = await scene();
		serve();
		for (const [name, ...values] of [["trap"], ["load8", 0x7fff_0000], ["copy", 0, 0x7000_0000, 9]] as const) {
			const error = await rejection(run(target, name, ...values));
			assert.instance(error, ProgramError, name);
			assert.is(error.code, "trap");
		}
		assert.is(await run(target, "load8", 3 * PAGE), contentOf(3)[0]);
		await finish();
		assert.is((await rejection(run(target, "trap"))).code, "trap");
	});

	test("memory grows while pages are missing; what is new is here", async () => {
		const { target, asked, serve, finish } = await scene();
		serve();
		assert.is(await run(target, "grow", 4), 16);
		await run(target, "store8", 300 * PAGE, 5);
		assert.is(await run(target, "load8", 300 * PAGE), 5);
		assert.equal(asked, []);
		assert.is(await run(target, "load8", 255 * PAGE + 4095), contentOf(255)[4095]);
		await finish();
		assert.is(await run(target, "load8", 300 * PAGE), 5);
		assert.is(target.pages.pageCount, 320);
	});

	test("host code that says what it touches never reads zeros for what is missing", async () => {
		const { target, asked, serve } = await scene();
		serve();
		const read = await ask(target, { read: 7 * PAGE - 20, byteLength: PAGE + 40 });
		const expected = new Uint8Array(PAGE + 40);
		expected.set(contentOf(6).subarray(PAGE - 20));
		expected.set(contentOf(7), 20);
		expected.set(contentOf(8).subarray(0, 20), PAGE + 20);
		assert.equal(read, expected);
		assert.equal(asked, [6, 7, 8]);
		await ask(target, { write: 50 * PAGE + 10, bytes: Uint8Array.of(1, 2, 3) });
		const page = contentOf(50);
		page.set([1, 2, 3], 10);
		assert.equal(
			await ask(target, { read: 50 * PAGE, byteLength: PAGE }),
			page,
			"a page that came over what was written",
		);
	});

	test("the trap: JavaScript that does not say what it reads gets zeros, without an error", async () => {
		const source = await startGuest("sneaky");
		await source.call({ at: 5 * PAGE, declared: true });
		const { target, asked, serve } = await postCopyByHand(source, factory);
		serve();
		assert.is(await target.call({ at: 5 * PAGE, declared: false, read: true }), 0);
		assert.equal(asked, []);
		assert.is(await target.call({ at: 5 * PAGE, declared: true, read: true }), 1);
		assert.equal(asked, [5]);
	});

	test("a flood of pages that are here already is bounded, waits its turn and changes nothing", async () => {
		const { target, push, finish } = await scene();
		await push(range(0, 64));
		await run(target, "store8", 7, 99);
		const call = run(target, "spin", 300_000_000);
		const flood = Array.from({ length: 200 }, () => push(range(0, 64)));
		const { inboxBytes } = await target.memoryUse();
		assert.ok(inboxBytes < 2 ** 25, `${inboxBytes} bytes`);
		await call;
		const installed = await Promise.all(flood);
		assert.ok(installed.every(({ pageIndices, duplicates }) => pageIndices.length === 0 && duplicates === 64));
		assert.is(await run(target, "load8", 7), 99);
		await finish();
	});

	test("a second post-copy leaves from a target that has become a source", async () => {
		const first = await scene();
		first.serve();
		await run(first.target, "store8", 17, 99);
		await first.finish();
		const second = await postCopyByHand(first.target, factory);
		second.serve();
		assert.is(await run(second.target, "load8", 17), 99);
		await second.finish();
		const digest = (guest: WasmGuest) => ask(guest, { read: 0, byteLength: 256 * PAGE });
		const moved = await digest(second.target);
		await first.target.resume();
		assert.equal(moved, await digest(first.target));
	});

	test("the second set-up of a module compiles nothing", async () => {
		const source = await filledSource();
		const layout = source.state.layout();
		const setUp = async () => {
			const { guest, setupMs } = await factory.setUp(layout, new Map(), undefined, { faulting: true });
			await guest.discard();
			return setupMs;
		};
		console.log(`set-ups: ${(await setUp()).toFixed(0)} ms, ${(await setUp()).toFixed(0)} ms`);
	});
} else {
	test("a runtime without a second memory refuses at the handshake, by name", async () => {
		const source = await filledSource();
		const [obstacle] = factory.check(source.state.layout(), { faulting: true });
		assert.is(obstacle?.fact, "faulting");
		assert.match(obstacle!.message, /second WebAssembly memory.*Node 22/);
		const refused = await rejection(factory.setUp(source.state.layout(), new Map(), undefined, { faulting: true }));
		assert.is(refused.code, "incompatible");
		assert.equal(factory.check(source.state.layout()), []);
	});
}

test("a program that does not declare its host access is refused by name, and is no faulting guest", async () => {
	const source = await startGuest("scratch");
	assert.not("faulting" in source);
	const obstacles = factory.check(source.state.layout(), { faulting: true });
	assert.is(obstacles[0]?.fact, "hostAccess");
	assert.match(obstacles[0]!.message, /scratch does not declare its host access.*pre-copy/);
	const refused = await rejection(factory.setUp(source.state.layout(), new Map(), undefined, { faulting: true }));
	assert.is(refused.code, "incompatible");
});

test("a program that declares its host access has no other way to memory", async () => {
	const source = await startGuest("paged");
	const error = await rejection(ask(source, { raw: true }));
	assert.match(error.message, /context\.host/);
});

test("a target that was not set up to fault says so", async () => {
	const source = await filledSource();
	const { guest } = await factory.setUp(source.state.layout(), new Map());
	const target = guest as WasmGuest;
	const error = await rejection(target.faulting!.begin(new Uint8Array(32), () => undefined));
	assert.is(error.code, "state");
	assert.match(error.message, /not set up/);
	await target.discard();
});

async function timed(work: () => Promise<unknown>): Promise<number> {
	const started = performance.now();
	await work();
	return performance.now() - started;
}

test.run();
