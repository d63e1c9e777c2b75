import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BalloonAccount, PRESSURE_PAGES } from "../../bindings/engine/balloon.ts";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";

const test = suite("engine balloon");

/** An account with `size` pages out, starting at page 0. */
function inflatedAccount(size: number): { account: BalloonAccount; list: PageList } {
	const engine = createEngine();
	const account = new BalloonAccount(engine, 10_000);
	const list = new PageList(engine, 10_000);
	list.load(Uint32Array.from({ length: size }, (_, i) => i));
	account.inflated(list);
	return { account, list };
}

test("inflating to 95 % of what is available leaves the 5 % buffer standing, turn after turn", () => {
	const { account, list } = inflatedAccount(0);
	assert.equal(account.interval(8000), { kind: "inflate", pages: 7600, target: 7600 });
	list.load(Uint32Array.from({ length: 7600 }, (_, i) => i));
	account.inflated(list);
	assert.is(account.free, 400);
	for (let turn = 0; turn < 5; turn++)
		assert.equal(account.interval(400), { kind: "hold", reason: "at-target" }, "inflating *by* 95 % would go on");
});

test("pressure gives back 128 pages by default, says what is left, and holds for 10 intervals", () => {
	const { account, list } = inflatedAccount(1000);
	assert.is(PRESSURE_PAGES, 128);
	assert.equal(account.pressure(), { pages: 128, left: 872 });
	list.load(Uint32Array.from({ length: 128 }, (_, i) => i));
	assert.is(account.deflated(list), 128);
	assert.is(account.size, 872);
	for (let turn = 0; turn < 10; turn++) assert.equal(account.interval(5000), { kind: "hold", reason: "back-off" });
	assert.is(account.interval(5000).kind, "inflate");
});

test("pressure during the back-off starts it anew, and never asks for more than there is", () => {
	const { account } = inflatedAccount(100);
	assert.equal(account.pressure(), { pages: 100, left: 0 });
	for (let turn = 0; turn < 7; turn++) account.interval(0);
	account.pressure(1);
	for (let turn = 0; turn < 10; turn++) assert.equal(account.interval(0), { kind: "hold", reason: "back-off" });
	assert.equal(account.interval(0), { kind: "deflate", pages: 5, target: 95 });
});

test("pages that are out are taken from what is to be sent by one and-not", () => {
	const { account } = inflatedAccount(9990);
	const toSend = new Bitmap(account.out.engine, 10_000);
	toSend.setAll();
	toSend.andNot(account.out);
	assert.equal([...toSend.list()], [9990, 9991, 9992, 9993, 9994, 9995, 9996, 9997, 9998, 9999]);
});

test("wrong options, reports and pages are refused by name, and nothing is half applied", () => {
	const engine = createEngine();
	assert.throws(() => new BalloonAccount(engine, 10, { targetPercent: 101 }), /targetPercent/);
	assert.throws(() => new BalloonAccount(engine, 10, { backOffIntervals: -1 }), /backOffIntervals/);
	const account = new BalloonAccount(engine, 10);
	assert.throws(() => account.interval(11), /freePages/);
	assert.throws(() => account.pressure(11), /pages/);
	const list = new PageList(engine, 2);
	list.load([3, 10]);
	assert.throws(() => account.inflated(list), /pages: page index/);
	assert.is(account.size, 0);
	assert.is(account.out.count(), 0);
});

test.run();
