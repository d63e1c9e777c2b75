/** Dynamic self-ballooning in virtual time: every 5 s, to 95 %, 128 pages under pressure, 10 intervals of back-off. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type BalloonTurn, startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { BallooningWorld } from "./ballooning-world.ts";

const test = suite("dynamic self-ballooning");
const PAGES = 1000;

test("the balloon follows what the program leaves free, a turn every 5 s", async () => {
	const world = new BallooningWorld(1, PAGES);
	await world.clock.run(async () => {
		world.allocate(200);
		const turns: { readonly atMs: number; readonly turn: BalloonTurn }[] = [];
		const onTurn = (turn: BalloonTurn) => void turns.push({ atMs: world.clock.now(), turn });
		const ballooning = startSelfBallooning({ guest: world.guest, clock: world.clock }, { onTurn });
		await world.clock.sleep(5001);
		assert.is(ballooning.balloonPages, 760); // 95 % of 800
		world.release(100);
		await world.clock.sleep(5000);
		assert.is(ballooning.balloonPages, 855); // 95 % of 900
		await world.clock.sleep(5000);
		assert.equal(
			turns.map(({ atMs }) => atMs),
			[5000, 10_000, 15_000],
		);
		assert.equal(turns[2]!.turn.step, { kind: "hold", reason: "at-target" });
		world.allocate(40); // out of the buffer of 45: no pressure, the balloon gives way at the next turn
		await world.clock.sleep(5000);
		assert.is(ballooning.balloonPages, 817); // 95 % of 860
		await ballooning.stop();
	});
});

test("under pressure the guest takes 128 pages at once, and the balloon is held for ten intervals", async () => {
	const world = new BallooningWorld(2, PAGES);
	await world.clock.run(async () => {
		const turns: BalloonTurn[] = [];
		const onTurn = (turn: BalloonTurn) => void turns.push(turn);
		const ballooning = startSelfBallooning({ guest: world.guest, clock: world.clock }, { onTurn });
		await world.clock.sleep(5001);
		assert.is(ballooning.balloonPages, 950);
		assert.is(world.allocate(60), 60); // 50 were free
		await world.clock.sleep(5000);
		assert.is(turns[1]!.pressurePages, 128);
		assert.is(ballooning.balloonPages, 950 - 128);
		for (let turn = 1; turn <= 10; turn++) {
			assert.equal(turns[turn]!.step, { kind: "hold", reason: "back-off" }, `turn ${turn}`);
			await world.clock.sleep(5000);
		}
		assert.is(turns[11]!.step.kind, "inflate");
		assert.is(ballooning.balloonPages, Math.floor((1000 - 60) * 0.95));
		await ballooning.stop();
	});
});

test("a paused guest is left alone; with the guest the loop ends", async () => {
	const world = new BallooningWorld(3, PAGES);
	await world.clock.run(async () => {
		const turns: BalloonTurn[] = [];
		const onTurn = (turn: BalloonTurn) => void turns.push(turn);
		const ballooning = startSelfBallooning({ guest: world.guest, clock: world.clock }, { onTurn });
		await world.guest.pause();
		await world.clock.sleep(5001);
		assert.equal(turns[0]!.step, { kind: "hold", reason: "paused" });
		await world.guest.resume();
		await world.clock.sleep(5000);
		assert.is(ballooning.balloonPages, 950);
		await world.guest.discard();
		await world.clock.sleep(5000);
		await ballooning.ended;
		assert.is(turns.length, 2);
	});
});

test("options out of range are refused", () => {
	const world = new BallooningWorld(4, 16);
	const start = (options: object) => startSelfBallooning({ guest: world.guest, clock: world.clock }, options);
	assert.throws(() => start({ intervalMs: 0 }), /intervalMs: must be above 0/);
	assert.throws(() => start({ targetPercent: 101 }), /targetPercent/);
});

test.run();
