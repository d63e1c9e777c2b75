// A real Linux in v86 runs at its target while its pages are missing (and are garbage there), and from a snapshot as it needs them.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { AccessOrders } from "../../bindings/snapshot/access-order.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { gapIn, linuxSnapshot, numbersAfter, openLinux, platform, shell, whyNoLinux } from "../v86/linux.ts";
import { Console } from "../v86/move.ts";
import { leave, PUSH_ORDERS } from "../v86/post-copy.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: Linux whose pages follow");
const missing = await whyNoLinux();
const open = new Set<Guest>();
const keep = <Kept extends Guest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};

/** Loads that fit together on one console: each writes lines of its own. */
const LOADS = "counter 20 & oracle 4 200 & md5loop & while :; do ls /proc >/tmp/list; done &";

/** No program has found a fault, and no count has a gap. */
function checkLoads(text: string): void {
	assert.not.match(text, /BAD|BROKEN|Oops|BUG:|panic/);
	const lines = text.replaceAll("\r", "");
	assert.is(gapIn(numbersAfter("count", lines)), undefined);
	assert.is(gapIn(numbersAfter("md5", lines)), undefined);
	assert.is(gapIn(numbersAfter("oracle", lines).map((round) => round / 200)), undefined);
}

/** Resolves when each of the loads has written three lines more. */
async function threeMore(console: Console): Promise<void> {
	const from = console.text.length;
	for (const word of ["count", "md5", "oracle"])
		await console.wait(new RegExp(`(^${word} \\d+[\\s\\S]*?){3}\n`, "m"), from);
}

async function hashes(guest: Guest): Promise<string> {
	return (await guest.pages.hashes(0, guest.pages.pageCount)).toString();
}

if (missing === undefined) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	test("counters, oracle, hashes and forks go on through every way in which pages follow", async () => {
		const { guest, console } = await openLinux();
		await keep(guest).resume();
		guest.serial.write(`${LOADS}\n`);
		await threeMore(console);
		let here: Guest = guest;
		let last: V86WorkerGuest | undefined;
		const legs = Object.entries(PUSH_ORDERS).map(([name, push]) => ({ technique: "post-copy", name, push }) as const);
		for (const { technique, name, push } of [
			...legs,
			{ technique: "hybrid", name: "prepaging", push: PUSH_ORDERS.prepaging! } as const,
		]) {
			const { target, moving } = await leave(here, technique, { console, options: { push } });
			const result = await moving;
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : `${name}: ${result.error.message}`);
			last = keep(target!);
			here = last;
			await threeMore(console);
			// What one round of hybrid has left may all be there before the guest's thread has had its turn.
			if (technique === "hybrid") continue;
			const { faults, touchedPages } = last.faulting.faultReport();
			assert.ok(
				faults > 0 && (touchedPages ?? 0) >= faults,
				`${name}: ${faults} faults, ${touchedPages} pages touched`,
			);
		}
		checkLoads(console.text);
		assert.match(await shell(last!, console, "cat /proc/uptime"), /^\d+\.\d\d \d+\.\d\d$/m);
	});

	test("a counted run that was left behind is, at every bit of RAM, the run that was not", async () => {
		const counted = { time: "counted", compile: false } as const;
		const start = async () => {
			const { guest } = await openLinux(counted);
			guest.serial.write("while :; do i=$((i+1)); ls /proc >/tmp/x; done &\n");
			await guest.advance(120);
			return keep(guest);
		};
		const source = await start();
		await source.resume();
		const { target, moving } = await leave(source, "post-copy", { options: { push: demandPaging(200) } });
		const moved = keep(target!);
		const result = await moving;
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		await moved.pause({ deadlineMs: 5000 });
		assert.ok(moved.faulting.faultReport().faults > 20);
		const unmoved = await start();
		await unmoved.advance((await moved.progress()).steps - unmoved.steps);
		assert.ok((await hashes(moved)) === (await hashes(unmoved)), "a page differs");
	});

	test("from a snapshot it runs before most of its pages have come, and next time in the order that it used them", async () => {
		const { clock, random } = platform;
		const accessOrders = new AccessOrders(new MemoryStore(), random);
		const factories = [workerFactory()];
		for (const expected of ["none", "recorded"]) {
			const snapshot = await linuxSnapshot();
			const services = { snapshot, factories, clock, random, accessOrders };
			const restored = await lazyRestore(services, { clock: "continue", random: "keep" });
			const { guest, order, missingPages, done } = restored;
			assert.instance(guest, V86WorkerGuest);
			const console = new Console();
			console.follow(keep(guest as V86WorkerGuest));
			assert.match(await shell(guest as V86WorkerGuest, console, "md5sum </bin/busybox"), /^[0-9a-f]{32} {2}-$/m);
			const report = await done;
			assert.is(order, expected);
			assert.ok(missingPages > 2000, `${missingPages} pages were missing`);
			assert.is(report.missingPages, 0);
			assert.ok(report.isOrderKept);
			assert.ok(report.faultPages + report.inFlightWaits > 0, "it waited for some");
			await guest.pause({ deadlineMs: 5000 });
		}
	});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

test.run();
