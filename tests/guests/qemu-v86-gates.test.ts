// Output commit with real machines: a Linux under QEMU, or in v86, at a held port, and a peer of the other kind that talks with it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { OutputGate } from "../../bindings/network/output-gate.ts";
import { type SwitchPort, VirtualSwitch } from "../../bindings/network/switch.ts";
import { type Linux, qemuLinux, v86Linux, whyNoLinuxes } from "../qemu/both-linuxes.ts";
import { openPlatform, QemuStage } from "../qemu/stage.ts";
import { gapIn, numbersAfter, shell } from "../v86/linux.ts";

const test = suite("a QEMU or a v86 guest at a held port");
const { platform } = await openPlatform();
const { clock } = platform;
const missing = await whyNoLinuxes(platform);

/** Small enough to be full at once. */
const LIMIT_BYTES = 16 * 1024;
const PING_BYTES = 1000;

/** The numbers that the peer's dialler has had back. */
const answered = ({ console }: Linux): number[] => numbersAfter("wire", console.text.replaceAll("\r", ""));

/** Resolves once something is so that nobody tells of. */
async function until(isSo: () => boolean): Promise<void> {
	while (!isSo()) await clock.sleep(1);
}

/** A switch of which it is known what came out of a port while nobody released it. */
function guardedSwitch() {
	const network = new VirtualSwitch(clock);
	let isReleasing = false;
	const early: string[] = [];
	network.tap(({ from }) => {
		if (from === "held" && !isReleasing) early.push(from);
	});
	/** Frames leave within the call that lets them. */
	const releasing = (work: () => void): void => {
		isReleasing = true;
		work();
		isReleasing = false;
	};
	return { network, early, releasing };
}

/** Ends an epoch as a checkpoint does, while the machine is paused. @returns its number, and how many frames wait up to it */
async function sealed(
	{ guest }: Linux,
	gate: OutputGate,
): Promise<{ readonly epoch: number; readonly frames: number }> {
	await guest.pause({ deadlineMs: 60_000 });
	const sealing = { epoch: gate.seal(), frames: gate.heldFrames };
	await guest.resume();
	return sealing;
}

/** Numbers of the echo requests (ICMP) that come from a port. */
function pingsFrom(network: VirtualSwitch, name: string): number[] {
	const numbers: number[] = [];
	network.tap(({ frame, from }) => {
		const isPing = frame[12] === 8 && frame[13] === 0 && frame[23] === 1 && frame[34] === 8;
		if (from === name && isPing) numbers.push(frame[40]! * 256 + frame[41]!);
	});
	return numbers;
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => {
		assert.equal(await stage.clear(), [], "nothing is left");
	});
	test.after(() => stage.close());

	const OTHERS = { qemu: v86Linux, v86: qemuLinux } as const;
	const KINDS = { qemu: qemuLinux, v86: v86Linux } as const;
	for (const kind of ["qemu", "v86"] as const) {
		/** The two, with the one of this kind at the port `held`. */
		const begin = async (network: VirtualSwitch, heldBytesLimit?: number) => {
			const port: SwitchPort = network.addPort("held", heldBytesLimit);
			const held = await KINDS[kind](stage, port);
			const peer = await OTHERS[kind](stage, network.addPort("peer"));
			return { gate: port.gate, held, peer };
		};

		test(`${kind}: nothing leaves before its epoch is released; what was discarded, TCP sends again`, async () => {
			const { network, early, releasing } = guardedSwitch();
			const { gate, held, peer } = await begin(network);
			await shell(held, held.console, "wire serve 7 & until netstat -ltn | grep -q :7; do sleep 0.05; done");
			early.length = 0;
			gate.hold();
			peer.serial.write(`wire dial ${held.ip} 7 1 &\n`);
			let epochs = 0;
			for (; answered(peer).length < 20; epochs++) {
				// Not one step of the dialogue is done without an answer of this machine's.
				await until(() => gate.heldFrames > 0);
				const { epoch, frames } = await sealed(held, gate);
				// Once, until it has sent again what nobody has acknowledged: that is the next epoch's.
				if (epochs === 10) await until(() => gate.heldFrames > frames);
				releasing(() => assert.is(gate.release(epoch), frames));
			}
			assert.ok(epochs >= 20, `${epochs} epochs for 20 answers`);

			const last = await sealed(held, gate);
			releasing(() => void gate.release(last.epoch));
			await until(() => gate.heldFrames > 0);
			const answers = answered(peer).length;
			assert.ok(gate.discardAfter(last.epoch) > 0);
			assert.is(gate.heldBytes, 0);
			assert.equal(early, [], "frames that left before they might");
			releasing(() => gate.open());
			await peer.console.wait(new RegExp(`^wire ${answers + 20}\\r?$`, "m"));
			assert.not.match(peer.console.text, /BROKEN/);
			assert.is(gapIn(answered(peer)), undefined);
		});

		test(`${kind}: what a gate holds stays at its limit, however much the machine sends`, async () => {
			const network = new VirtualSwitch(clock);
			const { gate, held, peer } = await begin(network, LIMIT_BYTES);
			// Without it the machine stops sending when its question for the address is not answered any more.
			await shell(held, held.console, `arp -s ${peer.ip} ${peer.mac}; ping -c 1 -W 20 ${peer.ip}`);
			const pings = pingsFrom(network, "held");
			gate.hold();
			held.serial.write(`ping -s ${PING_BYTES} -i 0.01 ${peer.ip} >/tmp/ping & counter 50\n`);
			await until(() => gate.heldBytes > LIMIT_BYTES - PING_BYTES - 42);
			for (let line = 1; line <= 20; line++) {
				await held.console.wait(new RegExp(`count ${line}\\r?\\n`));
				assert.ok(gate.heldBytes <= LIMIT_BYTES, `${gate.heldBytes} bytes are held`);
			}
			assert.equal(pings, []);
			// A stream is not read from; a call is refused.
			if (kind === "qemu") assert.is(gate.refusedFrames, 0);
			else await until(() => gate.refusedFrames > 0);
			gate.open();
			const room = Math.floor(LIMIT_BYTES / (PING_BYTES + 42));
			await until(() => pings.length > 3 * room);
			const gap = gapIn(pings.slice(0, 3 * room));
			if (kind === "qemu") assert.is(gap, undefined, "what was not read came behind");
			else assert.ok(gap?.endsWith(` after ${pings[room - 1]}`), `${gap}: the first ${room} were kept, in order`);
			assert.match(await shell(peer, peer.console, `ping -c 3 -W 20 ${held.ip}`), / 3 packets received/);
		});
	}
} else
	test("there are no two Linuxes here", () => {
		console.log(`skipped: guests at a held port: ${missing}`);
	});

test.run();
