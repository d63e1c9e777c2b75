// A Linux in v86 and a Linux under QEMU at one switch: they keep one TCP connection while each of them moves.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, QemuGuestFactory } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { type SwitchPort, VirtualSwitch } from "../../bindings/network/switch.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { besideV86, qemuLinux, v86Linux, whyNoLinuxes } from "../qemu/both-linuxes.ts";
import { openPlatform, QemuStage } from "../qemu/stage.ts";
import { gapIn, linuxFactory, numbersAfter, shell } from "../v86/linux.ts";
import { type Console, moveV86 } from "../v86/move.ts";
import { garbageFactory, leave } from "../v86/post-copy.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("a v86 and a QEMU guest at one switch");
const { platform } = await openPlatform();
const { clock, random } = platform;
const missing = await whyNoLinuxes(platform);

/** What the dialling Linux has had back, in whole lines. */
const answered = (console: Console): number[] => numbersAfter("wire", console.text.replaceAll("\r", ""));

/** Resolves when so many more answers have come. */
async function moreAnswers(console: Console, count: number): Promise<void> {
	await console.wait(new RegExp(`^wire ${(answered(console).at(-1) ?? 0) + count}\\r?$`, "m"));
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => {
		assert.equal(await stage.clear(), [], "nothing is left");
	});
	test.after(() => stage.close());

	const moveQemu = async (guest: QemuGuest, port: SwitchPort): Promise<QemuGuest> => {
		const place = { machine: besideV86, folder: stage.folder, network: port.attach };
		const factory = await QemuGuestFactory.open(platform, place);
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const result = await preCopy({ guest, link: near, clock, random });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		const received = await receiving;
		if (received.outcome !== "running") throw new Error(`the move's target: ${received.outcome}`);
		// allowed (cast): the only factory is QEMU's
		return stage.keep(received.guest as QemuGuest);
	};

	/** A Linux of each kind, and where announcements came from: QEMU repeats its own. */
	const begin = async () => {
		const network = new VirtualSwitch(clock);
		const announced: string[] = [];
		network.tap(({ frame, from }) => {
			if (frame[12] === 0x80 && frame[13] === 0x35 && !announced.includes(from)) announced.push(from);
		});
		const qemu = await qemuLinux(stage, network.addPort("qemu"));
		const v86 = await v86Linux(stage, network.addPort("v86"));
		return { network, announced, qemu, v86: v86.guest, console: v86.console };
	};

	test("one TCP connection between them goes on without a gap while each of them moves, v86 by pre-copy and by post-copy", async () => {
		const { network, announced, qemu, v86, console } = await begin();
		await shell(qemu, qemu.console, "wire serve 9000 & until netstat -ltn | grep -q :9000; do sleep 0.05; done");
		v86.serial.write("wire dial 10.5.0.9 9000 5 &\n");
		await moreAnswers(console, 20);

		const by = { network: network.addPort("v86 2") };
		const { result, target } = await moveV86(v86, linuxFactory(by), preCopy, { console });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		stage.keep<Guest>(target!);
		await v86.discard();
		await moreAnswers(console, 20);

		const second = await moveQemu(qemu.guest, network.addPort("qemu 2"));
		await moreAnswers(console, 20);
		assert.is(network.portOf(besideV86.mac!)?.name, "qemu 2");

		const factory = garbageFactory(console, workerFactory({ network: network.addPort("v86 3") }));
		const left = await leave(target!, "post-copy", { console, factory });
		stage.keep<Guest>(left.target!);
		await moreAnswers(console, 20);
		const moved = await left.moving;
		assert.is(moved.outcome, "moved", moved.outcome === "moved" ? "" : moved.error.message);
		await target!.discard();
		await moreAnswers(console, 20);

		assert.is(network.portOf(left.target!.network.macAddress)?.name, "v86 3");
		assert.equal([...announced].sort(), ["qemu 2", "v86", "v86 2", "v86 3"]);
		assert.is(gapIn(answered(console)), undefined);
		assert.is(answered(console)[0], 1);
		for (const text of [console.text, ...second.console.recent]) assert.not.match(text, /BAD|BROKEN/);
	});
} else
	test("there are no two Linuxes here", () => {
		console.log(`skipped: a v86 and a QEMU guest at one switch: ${missing}`);
	});

test.run();
