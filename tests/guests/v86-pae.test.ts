// A Linux whose kernel uses PAE, in v86: its page tables are none that the patched page walk sees, so it is scanned, which its
// tracker says; and it is not moved before its pages, which the refusal says. Every guest begins without PAE and turns it on itself.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CR4_PAE, type V86Emulator } from "../../bindings/guests/v86/emulator.ts";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import type { V86Firmware } from "../../bindings/guests/v86/firmware.ts";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { openPlatform } from "../qemu/stage.ts";
import { Console, heardFactory, moveV86 } from "../v86/move.ts";
import { openBootSector, v86, watchedV86 } from "../v86/open-guests.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: a kernel with PAE");
const { platform } = await openPlatform();
const { clock, random, files, workers } = platform;
const FOLDER = "build/guests/assets/v86-pae";
const open = new Set<V86Guest | V86WorkerGuest>();
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

/** Switches PAE on or off in a machine that stands still, as its guest would. */
function setPae({ v86 }: V86Emulator, on: boolean): void {
	v86.cpu.cr[4] = on ? CR4_PAE : 0;
}

test("where PAE is switched on while a cursor is open every page counts as written, until it is off again", async () => {
	const { v86: watched, last } = watchedV86();
	const guest = await openBootSector({ v86: watched });
	open.add(guest);
	const { pageCount } = guest.pages;
	const [first, second] = [await guest.dirty.open(), await guest.dirty.open()];
	assert.is((await first.harvest()).dirtyCount, 0);
	setPae(last(), true);
	assert.is(guest.dirty.tracker, "page-walk", "the cursors that are open go on");
	const looked = await first.peek(0, pageCount);
	assert.ok(looked.every((byte) => byte === 0xff));
	const candidates = new Uint8Array(pageCount / 8).fill(0b101, 3, 5);
	assert.equal(await first.peek(0, pageCount, candidates), candidates);
	for (let time = 0; time < 2; time++) {
		const { bits, dirtyCount } = await first.harvest();
		assert.is(dirtyCount, pageCount, "at each look");
		assert.ok(bits.every((byte) => byte === 0xff));
	}
	const third = await guest.dirty.open();
	setPae(last(), false);
	for (const cursor of [first, second])
		assert.is((await cursor.harvest()).dirtyCount, pageCount, "also for who looks later");
	for (const cursor of [first, second]) assert.is((await cursor.harvest()).dirtyCount, 0);
	await third.harvest();
	last().v86.cpu.write8(0x300 * PAGE_BYTES, 1);
	for (const cursor of [first, second, third]) {
		const { bits, dirtyCount } = await cursor.harvest();
		assert.is(dirtyCount, 1);
		assert.is(bits[0x300 / 8], 1);
	}
	setPae(last(), true);
	for (const cursor of [first, second, third]) await cursor.close();
	assert.is(guest.dirty.tracker, "scan", "the next cursor compares");
	const scanning = await guest.dirty.open();
	assert.is((await scanning.harvest()).dirtyCount, 0);
	await scanning.close();
});

async function asset(name: string): Promise<Uint8Array<ArrayBuffer>> {
	const bytes = await files.read(`${FOLDER}/${name}`);
	if (bytes === undefined) throw new Error(`${FOLDER}/${name} is missing`);
	return bytes;
}

/** What a machine with such a kernel is started with. */
async function booting(): Promise<{ readonly memoryByteLength: number; readonly firmware: V86Firmware }> {
	const commandLine = "console=ttyS0 earlyprintk=ttyS0 tsc=reliable mitigations=off nokaslr cryptomgr.notests";
	const linux = { kernel: await asset("vmlinuz"), initramfs: await asset("initramfs.gz"), commandLine };
	const firmware = { bios: await asset("bios.bin"), vgaBios: await asset("vgabios.bin"), linux };
	return { memoryByteLength: 64 * 2 ** 20, firmware };
}

if ((await files.names(FOLDER)).includes("manifest.json")) {
	test("it is scanned and says so, post-copy is refused by name, and pre-copy moves it while it boots", async () => {
		const guest = await V86Guest.start({ v86, clock, ...(await booting()) });
		open.add(guest);
		const console_ = new Console();
		console_.follow(guest);
		assert.is(guest.dirty.tracker, "page-walk", "the BIOS has no PAE");
		await console_.wait("Linux version");
		assert.is(guest.dirty.tracker, "scan");

		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [workerFactory()], clock });
		const refused = await postCopy({ guest, link: near, clock, random });
		await receiving;
		assert.is(refused.outcome, "kept");
		assert.match("error" in refused ? refused.error.message : "", /PAE.*use pre-copy or stop-and-copy/);
		await console_.more(200);

		const factory = new V86GuestFactory({ v86, clock });
		const { result, target } = await moveV86(guest, factory, preCopy, { console: console_ });
		assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
		open.add(target!);
		assert.is(target!.dirty.tracker, "scan", "also where it has come to");
		await console_.more(400);
		assert.not.match(console_.text, /Oops|BUG:|Kernel panic/);
	});

	test("in a worker as well it says so, is refused for post-copy, and is moved before it runs elsewhere", async () => {
		const guest = await V86WorkerGuest.start({ v86, clock, workers, ...(await booting()) });
		open.add(guest);
		const console_ = new Console();
		console_.follow(guest);
		await console_.wait("Linux version");
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [workerFactory()], clock });
		const refused = await postCopy({ guest, link: near, clock, random });
		assert.is((await receiving).outcome === "running", false);
		assert.is(refused.outcome, "kept");
		assert.match("error" in refused ? refused.error.message : "", /PAE.*use pre-copy or stop-and-copy/);
		assert.is(guest.dirty.tracker, "scan");
		assert.is(guest.state.layout().facts.pageTables, "pae");
		await console_.more(200);
		const [from, to] = openLinkPair();
		const arriving = receiveGuest({ link: to, factories: [heardFactory(workerFactory(), console_)], clock });
		const { outcome } = await preCopy({ guest, link: from, clock, random });
		assert.is(outcome, "moved");
		const arrived = await arriving;
		assert.is(arrived.outcome, "running");
		if (arrived.outcome !== "running" || !(arrived.guest instanceof V86WorkerGuest)) return;
		open.add(arrived.guest);
		assert.is(arrived.guest.dirty.tracker, "scan");
		await console_.more(400);
		assert.not.match(console_.text, /Oops|BUG:|Kernel panic/);
	});
} else
	test("there is no kernel with PAE here", () => {
		console.log(`skipped: v86 with a PAE kernel: no ${FOLDER}; \`npm run guests\` prepares it (root on Debian)`);
	});

test.run();
