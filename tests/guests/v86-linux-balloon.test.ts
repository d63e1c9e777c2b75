// A Linux with a balloon in v86: what it does not need is zero, no technique carries it, and the balloon goes along.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type BalloonTurn, startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { BallooningV86Guest } from "../../bindings/guests/v86/guest.ts";
import { BallooningV86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { isBallooningGuest } from "../../bindings/ports/ballooning-guest.ts";
import { type Guest, PAGE_BYTES, type PageBits } from "../../bindings/ports/guest.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import {
	bootLinux,
	checkLoads,
	LOADS,
	linuxFactory,
	openLinux,
	platform,
	shell,
	threeMore,
	whyNoLinux,
} from "../v86/linux.ts";
import { type Console, heardFactory, moveV86 } from "../v86/move.ts";
import { leave } from "../v86/post-copy.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: balloon of Linux");
const { clock, random } = platform;
const missing = await whyNoLinux();
const open = new Set<Guest>();
const keep = <Kept extends Guest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};

function ballooning(guest: unknown): BallooningV86Guest {
	assert.instance(guest, BallooningV86Guest);
	return keep(guest as BallooningV86Guest);
}

async function moveOn(guest: BallooningV86Guest, console: Console) {
	const { result, target } = await moveV86(guest, linuxFactory(), preCopy, {
		console,
		options: { bandwidthBytesPerMs: 200_000 },
	});
	assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
	return { target: ballooning(target), first: result.metrics.rounds[0]! };
}

/** Stored bytes of a snapshot in a store of its own. */
async function storedBytes(guest: Guest): Promise<number> {
	const store = new SnapshotStore(new MemoryStore(), { clock, random });
	return (await save({ guest, store, clock })).snapshot.addedBytes;
}

const has = (bits: PageBits, page: number): boolean => ((bits[page >>> 3]! >>> (page & 7)) & 1) === 1;
const isZero = (memory: Uint8Array, page: number): boolean =>
	memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES).every((byte) => byte === 0);

/** Pages of the balloon, each of which is zero. */
function pagesOut(memory: Uint8Array, out: PageBits): number[] {
	const pages = Array.from({ length: memory.length / PAGE_BYTES }, (_, page) => page).filter((page) => has(out, page));
	for (const page of pages)
		assert.ok(
			isZero(memory, page),
			`page ${page} is out and not zero: ${memory.subarray(page * PAGE_BYTES, page * PAGE_BYTES + 64)}`,
		);
	return pages;
}

if (missing === undefined) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	test("self-ballooning empties what is free: moves and snapshots are smaller, programs go on, pressure gives it back", async () => {
		const { guest, console } = await bootLinux({ balloon: true, memoryByteLength: 128 * 2 ** 20 });
		const source = ballooning(guest);
		assert.ok(isBallooningGuest(source));
		assert.is(source.dirty.tracker, "page-walk");
		// Memory that was used, and is free again: not zero any more.
		await shell(source, console, "dd if=/dev/urandom of=/tmp/junk bs=1M count=32 2>/dev/null; rm /tmp/junk");
		source.serial.write(`${LOADS}\n`);
		await threeMore(console);
		const { target: here, first: without } = await moveOn(source, console);
		await threeMore(console);

		const bytesWithout = await storedBytes(here);
		const turns: BalloonTurn[] = [];
		// A fifth stays free: no load takes anything back by itself.
		const options = { intervalMs: 100, targetPercent: 80, onTurn: (turn: BalloonTurn) => void turns.push(turn) };
		const loop = startSelfBallooning({ guest: here, clock }, options);
		while (loop.balloonPages < 8000 && turns.length < 100) await clock.sleep(50);
		await loop.stop();
		assert.ok(loop.balloonPages >= 8000, JSON.stringify(turns.slice(-3)));
		await here.pause({ deadlineMs: 5000 });
		const out = await here.balloon.out();
		const pages = pagesOut(here.readMemory(0, here.pages.pageCount * PAGE_BYTES), out);
		assert.ok(pages.length >= 8000, `${pages.length}`);
		await here.resume();
		const bytesWith = await storedBytes(here);
		// Up to 32 MiB of what was free were random numbers.
		assert.ok(bytesWith < bytesWithout - 16 * 2 ** 20, `${bytesWith} bytes, and ${bytesWithout} without the balloon`);

		const { target: there, first } = await moveOn(here, console);
		assert.ok(first.sentPages <= without.sentPages - 4000, `${first.sentPages} of ${without.sentPages} pages`);
		await threeMore(console);
		const carried = await there.balloon.out();
		// It ran on the way, and may have moved or taken back some.
		const still = pages.filter((page) => has(carried, page)).length;
		assert.ok(still >= pages.length - 1000, `${still} of ${pages.length} pages are still out`);

		const size = pages.length;
		const back = await there.balloon.deflate(1000);
		assert.ok(back.length >= 1000, `${back.length}`);
		const rest = await there.balloon.out();
		for (const page of back) assert.not.ok(has(rest, page), `page ${page} came back, and is out`);
		await there.balloon.report();
		await there.balloon.inflate(1000);
		// More than is free: the driver gives it back before anybody is killed.
		assert.match(await shell(there, console, "oracle 40 1 | head -n 2 | sed s/oracle/large/"), /large 2 ok/);
		const { pressurePages } = await there.balloon.report();
		assert.ok(pressurePages > 0, `${pressurePages} of ${size} pages taken back`);
		await threeMore(console);
		checkLoads(console.text);
	});

	test("a balloon moves while pages are missing: in a worker, what it takes is waited for and emptied", async () => {
		const { guest, console } = await bootLinux({ balloon: true });
		const source = ballooning(guest);
		await shell(source, console, "dd if=/dev/urandom of=/tmp/junk bs=1M count=16 2>/dev/null; rm /tmp/junk");
		source.serial.write(`${LOADS}\n`);
		await threeMore(console);
		assert.is((await source.balloon.inflate(1000)).length, 1000);
		// No garbage below the pages: those that are out are never sent, and a target begins with zeros.
		const { target, moving } = await leave(source, "post-copy", {
			...{ console, options: { push: demandPaging(100) } },
			factory: heardFactory(workerFactory(), console),
		});
		assert.instance(target, BallooningV86WorkerGuest);
		const moved = keep(target as BallooningV86WorkerGuest);
		const gone = moved.balloon.inflate(500);
		const come = moved.balloon.deflate(200);
		const [went, came] = [await gone, await come];
		assert.is(went.length, 500);
		assert.is(came.length, 200);
		const result = await moving;
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		await threeMore(console);
		await moved.pause({ deadlineMs: 5000 });
		const memory = await moved.readMemory(0, moved.pages.pageCount * PAGE_BYTES);
		assert.is(pagesOut(memory, await moved.balloon.out()).length, 1300);
		await moved.resume();
		await threeMore(console);
		checkLoads(console.text);
	});

	test("a Linux without the device has no balloon, and none of its modules", async () => {
		const { guest, console } = await openLinux();
		await keep(guest).resume();
		assert.not.ok(isBallooningGuest(guest));
		assert.not.match(await shell(guest, console, "cat /proc/modules"), /virtio/);
	});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

test.run();
