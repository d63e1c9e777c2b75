// A Linux with a balloon under QEMU: what it does not need leaves its RAM file, and no technique carries it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type BalloonTurn, startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { type BallooningQemuGuest, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { isBallooningGuest } from "../../bindings/ports/ballooning-guest.ts";
import { isUp, linuxMachine, whyNoLinux } from "../qemu/linux.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: balloon");
const { platform } = await openPlatform();
const { clock, random } = platform;
const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

/** What a program is to need: 60 MiB, half of the machine. */
const NEEDED_PAGES = 60 * 256;

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after(() => stage.close());

	test("self-ballooning takes what is free, pressure gives it back, and a move leaves it out", async () => {
		const { mac: _, ...machine } = linuxMachine(1, { balloon: true });
		const guest = await startQemuGuest(platform, { machine, folder: stage.folder, booted: isUp });
		stage.keep(guest);
		assert.ok(isBallooningGuest(guest));
		// Memory that was used, and is free again: not zero any more.
		await guest.console.write("oracle 24 50 &\n");
		await nextLine(guest, (line) => line.includes("oracle 50 ok"));
		await guest.console.write("kill $!; wait $!; counter 20 &\n");
		await nextLine(guest, (line) => /count \d+$/.test(line));

		const turns: BalloonTurn[] = [];
		const ballooning = startSelfBallooning({ guest, clock }, { intervalMs: 200, onTurn: (turn) => turns.push(turn) });
		while (ballooning.balloonPages < 2000 && turns.length < 200) await clock.sleep(50);
		await ballooning.stop();
		assert.ok(ballooning.balloonPages >= 2000, JSON.stringify(turns.slice(-3)));
		const out = await guest.balloon.out();
		const count = out.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
		assert.ok(count >= 2000, `${count}`);

		await guest.pause({ deadlineMs: 10_000 });
		assert.is((await rejection(guest.balloon.inflate(10))).code, "not-running");
		await guest.resume();

		const factory = await stage.factory(machine);
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const result = await preCopy({ guest, link: near, clock, random });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		const received = await receiving;
		if (received.outcome !== "running") throw new RangeError("not received");
		// allowed (cast): the only factory is QEMU's
		const moved = stage.keep(received.guest as BallooningQemuGuest);
		const sent = result.metrics.rounds[0]!.sentPages;
		assert.ok(sent <= guest.pages.pageCount - 2000, `${sent} of ${guest.pages.pageCount}`);

		// The balloon is the machine's own: it went along, and comes back when asked or needed.
		await nextLine(moved, (line) => /count \d+$/.test(line));
		const back = await moved.balloon.deflate(1000);
		assert.ok(back.length > 900, `${back.length}`);
		// All but a little of what is free goes out: then a program needs more than there is, and only the balloon has it.
		let free = (await moved.balloon.report()).freePages;
		for (let looks = 0; free > NEEDED_PAGES / 3 && looks < 400; ) {
			const before = free;
			await moved.balloon.inflate(free - NEEDED_PAGES / 6);
			// The driver reports once a second.
			for (; free === before && looks < 400; looks++) {
				await clock.sleep(50);
				free = (await moved.balloon.report()).freePages;
			}
		}
		assert.ok(free > 0 && free <= NEEDED_PAGES / 3, `${free} pages are free`);
		await moved.console.write(`oracle ${NEEDED_PAGES / 256} 1 &\n`);
		const word = await nextLine(moved, (line) => /oracle 2 ok|Killed|Out of memory|panic/.test(line));
		assert.match(word, /oracle 2 ok/);
		const { pressurePages } = await moved.balloon.report();
		assert.ok(pressurePages > 0, "it has taken back what it needed");
		for (const line of moved.console.recent) assert.not.match(line, /BAD|panic/);
		assert.equal(await stage.clear(), [], "nothing is left");
	});
} else
	test("there is no Linux under QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
