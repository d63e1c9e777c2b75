// A Linux whose kernel uses PAE, in v86: its page tables are none that the patched page walk sees, so it is scanned, which its
// tracker says; and it is not moved before its pages, which the refusal says. Every guest begins without PAE and turns it on itself.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { openPlatform } from "../qemu/stage.ts";
import { Console, moveV86 } from "../v86/move.ts";
import { v86 } from "../v86/open-guests.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: a kernel with PAE");
const { platform } = await openPlatform();
const { clock, random, files } = platform;
const FOLDER = "build/guests/assets/v86-pae";
const open = new Set<V86Guest>();

async function asset(name: string): Promise<Uint8Array<ArrayBuffer>> {
	const bytes = await files.read(`${FOLDER}/${name}`);
	if (bytes === undefined) throw new Error(`${FOLDER}/${name} is missing`);
	return bytes;
}

if ((await files.names(FOLDER)).includes("manifest.json")) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	test("it is scanned and says so, post-copy is refused by name, and pre-copy moves it while it boots", async () => {
		const commandLine = "console=ttyS0 earlyprintk=ttyS0 tsc=reliable mitigations=off nokaslr cryptomgr.notests";
		const linux = { kernel: await asset("vmlinuz"), initramfs: await asset("initramfs.gz"), commandLine };
		const firmware = { bios: await asset("bios.bin"), vgaBios: await asset("vgabios.bin"), linux };
		const guest = await V86Guest.start({ v86, clock, memoryByteLength: 64 * 2 ** 20, firmware });
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
} else
	test("there is no kernel with PAE here", () => {
		console.log(`skipped: v86 with a PAE kernel: no ${FOLDER}; \`npm run guests\` prepares it (root on Debian)`);
	});

test.run();
