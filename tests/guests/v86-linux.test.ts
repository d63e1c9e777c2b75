import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import {
	checkLoads,
	gapIn,
	LOADS,
	linuxFactory,
	numbersAfter,
	openLinux,
	platform,
	shell,
	threeMore,
	whyNoLinux,
} from "../v86/linux.ts";
import { Console, moveV86, type Technique } from "../v86/move.ts";

const test = suite("v86 guest: Linux");
const missing = await whyNoLinux();
const open = new Set<V86Guest>();
const keep = (guest: V86Guest): V86Guest => {
	open.add(guest);
	return guest;
};

async function moveOn(guest: V86Guest, technique: Technique, console: Console): Promise<V86Guest> {
	const { result, target } = await moveV86(guest, linuxFactory(), technique, {
		console,
		options: { bandwidthBytesPerMs: 200_000 },
	});
	assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
	return keep(target!);
}

if (missing === undefined) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	test("a shell answers after pre-copy and stop-and-copy, and back: counters, oracle and hashes go on", async () => {
		const { guest, console } = await openLinux();
		keep(guest);
		await guest.resume();
		assert.is(guest.dirty.tracker, "page-walk");
		guest.serial.write(`${LOADS}\n`);
		await threeMore(console);
		let here = guest;
		for (const technique of [preCopy, stopAndCopy, preCopy]) {
			here = await moveOn(here, technique, console);
			await threeMore(console);
		}
		checkLoads(console.text);
		assert.match(await shell(here, console, "cat /proc/uptime"), /^\d+\.\d\d \d+\.\d\d$/m);
	});

	test("a command that is typed while it is paused is carried out where it goes on", async () => {
		const { guest, console } = await openLinux();
		keep(guest);
		await guest.resume();
		await guest.pause({ deadlineMs: 5000 });
		const from = console.text.length;
		guest.serial.write('echo "typed"\'\' "in the pause"\n');
		await moveOn(guest, stopAndCopy, console);
		await console.wait("typed in the pause", from);
	});

	test("its page walk misses no page that changes, under forks, hashing and copying", async () => {
		const { guest, console } = await openLinux();
		keep(guest);
		await guest.resume();
		guest.serial.write(`${LOADS}\n`);
		await threeMore(console);
		const cursor = await guest.dirty.open();
		await guest.pause({ deadlineMs: 5000 });
		await cursor.harvest();
		const { pageCount } = guest.pages;
		let before = guest.readMemory(0, pageCount * PAGE_BYTES);
		let changed = 0;
		for (let round = 0; round < 12; round++) {
			await guest.resume();
			await platform.clock.sleep(20);
			await guest.pause({ deadlineMs: 5000 });
			const { bits } = await cursor.harvest();
			const now = guest.readMemory(0, pageCount * PAGE_BYTES);
			for (let page = 0; page < pageCount; page++) {
				if (samePage(before, now, page)) continue;
				changed++;
				assert.ok(((bits[page >>> 3]! >>> (page & 7)) & 1) === 1, `round ${round}: page ${page} changed unseen`);
			}
			before = now;
		}
		assert.ok(changed > 100, `${changed} pages changed in all`);
		await cursor.close();
	});

	test("a run with a counted clock that was moved is, at every bit of RAM, the run that was not", async () => {
		const counted = { time: "counted", compile: false } as const;
		const start = async (): Promise<V86Guest> => {
			const { guest } = await openLinux(counted);
			guest.serial.write("while :; do i=$((i+1)); ls /proc >/tmp/x; done &\n");
			await guest.advance(200);
			return keep(guest);
		};
		const source = await start();
		await source.resume();
		const { result, target } = await moveV86(source, linuxFactory(counted), preCopy);
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		const moved = keep(target!);
		await moved.pause({ deadlineMs: 5000 });
		await moved.advance(200);
		const unmoved = await start();
		await unmoved.advance(moved.steps - unmoved.steps);
		const hashes = async (guest: V86Guest): Promise<string> =>
			(await guest.pages.hashes(0, guest.pages.pageCount)).toString();
		assert.ok((await hashes(moved)) === (await hashes(unmoved)), "a page differs");
	});
	test("each live save of a series that was taken under load runs on: counters, oracle and hashes", async () => {
		const { clock, random } = platform;
		const { guest, console } = await openLinux();
		await keep(guest).resume();
		guest.serial.write(`${LOADS}\n`);
		await threeMore(console);
		const store = new SnapshotStore(new MemoryStore(), { clock, random });
		const series = await SnapshotSeries.open({ guest, store, clock });
		const taken: { readonly id: string; readonly text: string }[] = [];
		for (let time = 0; time < 4; time++) {
			const { snapshot } = await series.liveSave();
			taken.push({ id: snapshot.id, text: console.text });
			await threeMore(console);
		}
		await series.close();
		checkLoads(console.text);
		for (const { id, text } of taken) {
			const services = { snapshot: await store.open(id), factories: [linuxFactory()], clock, random };
			const { guest: copy } = await restore(services, { clock: "continue", random: "keep", stayPaused: true });
			assert.instance(copy, V86Guest);
			const its = new Console();
			its.follow(keep(copy as V86Guest));
			await (copy as V86Guest).resume();
			// A line that the pause has cut in two begins on the console of the guest that was saved.
			await its.wait("\n");
			await threeMore(its);
			assert.not.match(its.text, /BAD|BROKEN|Oops|BUG:|panic/);
			const heard = numbersAfter("count", its.text.replaceAll("\r", ""));
			assert.is(gapIn(heard), undefined);
			const last = numbersAfter("count", text.replaceAll("\r", "")).at(-1)!;
			assert.ok(heard[0]! <= last + 2, `saved by ${last}, begins with ${heard[0]}`);
			await (copy as V86Guest).discard();
		}
	});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

function samePage(before: Uint8Array, now: Uint8Array, page: number): boolean {
	const words = (bytes: Uint8Array): Int32Array =>
		new Int32Array(bytes.buffer, bytes.byteOffset + page * PAGE_BYTES, PAGE_BYTES / 4);
	const [left, right] = [words(before), words(now)];
	for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false;
	return true;
}

test.run();
