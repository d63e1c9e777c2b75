// Which pages of a machine under QEMU are read to find those that changed, against the RAM file itself, compared whole.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, type QemuTracker, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import type { DirtyCursor } from "../../bindings/ports/guest.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: how changes are found");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;
const PAGE = 4096;
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder, machine } = stage;
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());

	const start = async (tracker: "auto" | QemuTracker): Promise<QemuGuest> => {
		const guest = stage.keep(await startQemuGuest(platform, { machine, folder, tracker, booted: isCount }));
		await nextLine(guest, (line) => line >= "00000003"); // all pages that it counts in are there
		return guest;
	};
	const image = (guest: QemuGuest): Uint8Array => {
		const file = stage.pageFiles.open(guest.ramPath);
		const bytes = new Uint8Array(guest.pages.pageCount * PAGE);
		file.read(bytes, 0);
		file.close();
		return bytes;
	};
	const differing = (a: Uint8Array, b: Uint8Array): number[] => {
		const pages: number[] = [];
		const [left, right] = [a, b].map((bytes) => new BigUint64Array(bytes.buffer));
		for (let at = 0; at < left!.length; at++)
			if (left![at] !== right![at]) {
				pages.push(at >> 9);
				at |= 511;
			}
		return pages;
	};
	const pagesOf = (bits: Uint8Array): number[] =>
		Array.from({ length: bits.length * 8 }, (_, page) => page).filter((page) => (bits[page >> 3]! >> (page & 7)) & 1);
	/** Pauses, harvests, and compares with the file: exactly what has changed since the last pause. */
	const harvestPaused = async (guest: QemuGuest, cursor: DirtyCursor, before: Uint8Array): Promise<Uint8Array> => {
		await guest.pause({ deadlineMs: 10_000 });
		const now = image(guest);
		assert.equal(pagesOf((await cursor.harvest()).bits), differing(before, now));
		return now;
	};
	/** A paused guest, what it has in its memory, and a cursor that has seen that. */
	const open = async (guest: QemuGuest): Promise<{ readonly cursor: DirtyCursor; readonly before: Uint8Array }> => {
		const cursor = await guest.dirty.open();
		await guest.pause({ deadlineMs: 10_000 });
		await cursor.harvest();
		return { cursor, before: image(guest) };
	};

	test("scan: holes are left out of a pause, and what is left is all that changed", async () => {
		const guest = await start("scan");
		assert.is(guest.dirty.tracker, "scan");
		let { cursor, before } = await open(guest);
		for (let round = 0; round < 3; round++) {
			await guest.resume();
			for (let line = 0; line < 2; line++) await nextLine(guest, isCount);
			before = await harvestPaused(guest, cursor, before);
			const { lastHarvest } = guest.tracking;
			assert.is(lastHarvest?.everything, undefined);
			assert.ok(lastHarvest!.holePages > 1000, `${lastHarvest!.holePages} of ${lastHarvest!.pageCount}`);
			assert.is(lastHarvest!.holePages + lastHarvest!.readPages, lastHarvest!.pageCount);
		}
		await guest.resume();
		await cursor.harvest();
		assert.match(guest.tracking.lastHarvest?.everything ?? "", /runs/);
	});

	test("scan: at a target, pages that only we have written are no holes", async () => {
		const factory = await stage.factory();
		const source = await start("scan");
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		assert.is((await preCopy({ guest: source, link: near, clock, random })).outcome, "moved");
		const received = await receiving;
		assert.is(received.outcome, "running");
		// allowed (cast): the only factory is QEMU's
		const target = stage.keep((received as { readonly guest: unknown }).guest as QemuGuest);
		let { cursor, before } = await open(target);
		for (let round = 0; round < 2; round++) {
			await target.resume();
			await nextLine(target, isCount);
			before = await harvestPaused(target, cursor, before);
			if (target.dirty.tracker === "soft-dirty") continue;
			assert.ok((target.tracking.lastHarvest?.holePages ?? 0) > 1000, JSON.stringify(target.tracking));
		}
	});

	test("scan: a page that is punched out is found, and so is what somebody else writes into a hole", async () => {
		const guest = await start("scan");
		let { cursor, before } = await open(guest);
		const punched = 300;
		try {
			const args = ["-p", "-o", String(punched * PAGE), "-l", String(PAGE), guest.ramPath];
			const { ended } = await platform.processes.start({ executable: "fallocate", args });
			assert.is((await ended).code, 0);
		} catch (error) {
			if (!(error instanceof Error) || !("code" in error) || error.code !== "not-started") throw error;
			return console.log("skipped: punching a page out: there is no fallocate here");
		}
		assert.not.equal(before[punched * PAGE], 0, "it was no zero page");
		before = await harvestPaused(guest, cursor, before);
		assert.ok(guest.tracking.lastHarvest!.holePages > 1000);
		// Beyond what the machine uses.
		const file = stage.pageFiles.open(guest.ramPath);
		file.write(new Uint8Array(PAGE).fill(7), 3000 * PAGE);
		file.close();
		await harvestPaused(guest, cursor, before);
		assert.match(guest.tracking.lastHarvest?.everything ?? "", /pages in the RAM file only \d+ are known/);
	});

	test("soft-dirty: where the system has marks, only marked pages are read, and they are all that changed; else it says why", async () => {
		const guest = await start("auto");
		if (guest.dirty.tracker === "scan") {
			const { withoutSoftDirty } = guest.tracking;
			assert.ok(withoutSoftDirty !== undefined && withoutSoftDirty !== "");
			const refused = await rejection(startQemuGuest(platform, { machine, folder, tracker: "soft-dirty" }));
			assert.is(refused.code, "no-soft-dirty");
			assert.ok(refused.message.includes(withoutSoftDirty));
			return console.log(`skipped: soft-dirty marks: ${withoutSoftDirty}`);
		}
		let { cursor, before } = await open(guest);
		let read = 0;
		for (let round = 0; round < 6; round++) {
			await guest.resume();
			await nextLine(guest, isCount);
			if (round % 2 === 1) {
				// Live looks take nothing from the next: what they name, and what the pause names, is what changed.
				const live = pagesOf((await cursor.harvest()).bits);
				await nextLine(guest, isCount);
				await guest.pause({ deadlineMs: 10_000 });
				const now = image(guest);
				const named = new Set([...live, ...pagesOf((await cursor.harvest()).bits)]);
				for (const page of differing(before, now)) assert.ok(named.has(page), `page ${page}`);
				before = now;
			} else before = await harvestPaused(guest, cursor, before);
			assert.is(guest.dirty.tracker, "soft-dirty", guest.tracking.withoutSoftDirty);
			const { cleanPages, readPages } = guest.tracking.lastHarvest!;
			assert.ok(cleanPages > 0, `${readPages} read`);
			read += readPages;
		}
		assert.ok(read > 0, "it wrote something, if not every time: a line may come late");
		// A machine that is not let run writes nothing.
		assert.equal(pagesOf((await cursor.harvest()).bits), []);
		assert.is(guest.tracking.lastHarvest?.readPages, 0);
		console.log("soft-dirty marks: found, and compared with the RAM file");
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
