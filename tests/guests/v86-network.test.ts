import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { type SwitchPort, VirtualSwitch } from "../../bindings/network/switch.ts";
import type { Clock } from "../../bindings/ports/clock.ts";
import { openPlatform } from "../qemu/stage.ts";
import { gapIn, linuxFactory, numbersAfter, openLinux, shell, whyNoLinux } from "../v86/linux.ts";
import { type Console, moveV86 } from "../v86/move.ts";

const test = suite("v86 guest: network");
const missing = await whyNoLinux();
const open = new Set<V86Guest>();

/** Guests at the ports of a switch, by the calls of their cards. */
class Network {
	readonly switch: VirtualSwitch;
	/** Of each announcement (RARP), where it came from. */
	readonly announced: string[] = [];
	frames = 0;

	constructor(clock: Clock) {
		this.switch = new VirtualSwitch(clock);
		this.switch.tap(({ frame, from }) => {
			this.frames++;
			if (frame[12] === 0x80 && frame[13] === 0x35) this.announced.push(from);
		});
	}

	plug(guest: V86Guest, name: string): SwitchPort {
		const port = this.switch.addPort(name);
		guest.network.listen((frame) => void port.send(frame));
		port.onFrame = (frame) => guest.network.deliver(frame);
		return port;
	}
}

/** Both come from one snapshot: the second one gets another address, as a clone must. */
async function twoGuests(): Promise<{ guest: V86Guest; console: Console }[]> {
	const pair = [await openLinux(), await openLinux()];
	for (const { guest } of pair) {
		open.add(guest);
		await guest.resume();
	}
	const { guest, console } = pair[1]!;
	await shell(
		guest,
		console,
		"ip link set eth0 down; ip link set eth0 address 02:86:00:00:00:02; ip addr flush dev eth0; " +
			"ip addr add 10.5.0.3/24 dev eth0; ip link set eth0 up",
	);
	return pair;
}

if (missing === undefined) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	test("a TCP connection between two guests lives on when either of them moves", async () => {
		const [server, client] = await twoGuests();
		const network = new Network((await openPlatform()).platform.clock);
		network.plug(server!.guest, "server");
		network.plug(client!.guest, "client");
		server!.guest.serial.write("wire serve 7 &\n");
		assert.match(await shell(client!.guest, client!.console, "ping -c 2 -W 5 10.5.0.2"), /2 packets received/);
		client!.guest.serial.write("wire dial 10.5.0.2 7 5 &\n");
		await client!.console.wait(/^wire 20\r?$/m);
		for (const [name, one] of [
			["client", client!],
			["server", server!],
		] as const) {
			const { result, target } = await moveV86(one.guest, linuxFactory(), preCopy, { console: one.console });
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
			open.add(target!);
			assert.is(target!.network.macAddress, one.guest.network.macAddress);
			const { macAddress } = target!.network;
			assert.is(network.switch.portOf(macAddress)?.name, name, "its last frame came from where it was");
			network.plug(target!, `${name} 2`).announce(macAddress);
			assert.is(network.switch.portOf(macAddress)?.name, `${name} 2`, "before it sends anything itself");
			const last = numbersAfter("wire", client!.console.text.replaceAll("\r", "")).at(-1)!;
			await client!.console.wait(new RegExp(`^wire ${last + 20}\\r?$`, "m"));
		}
		const lines = client!.console.text.replaceAll("\r", "");
		assert.not.match(lines, /BROKEN/);
		assert.is(gapIn(numbersAfter("wire", lines)), undefined);
		assert.ok(network.frames > 100, `${network.frames} frames`);
		assert.equal(network.announced, ["client 2", "server 2"]);
	});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

test.run();
