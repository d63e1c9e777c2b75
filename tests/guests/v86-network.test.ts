import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86NetworkPort } from "../../bindings/guests/v86/network-card.ts";
import type { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { gapIn, linuxFactory, numbersAfter, openLinux, platform, shell, whyNoLinux } from "../v86/linux.ts";
import { type Console, moveV86 } from "../v86/move.ts";
import { garbageFactory, leave } from "../v86/post-copy.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: network");
const missing = await whyNoLinux();
const open = new Set<Guest>();
const keep = <Kept extends Guest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};

/** A switch, and what its machines do there. */
function lan() {
	const network = new VirtualSwitch(platform.clock);
	/** Of each announcement (RARP), where it came from. */
	const announced: string[] = [];
	/** Whether the first frame from each port was an announcement. */
	const beganWith = new Map<string, "an announcement" | "another frame">();
	network.tap(({ frame, from }) => {
		const isAnnouncement = frame[12] === 0x80 && frame[13] === 0x35;
		if (isAnnouncement) announced.push(from);
		if (!beganWith.has(from)) beganWith.set(from, isAnnouncement ? "an announcement" : "another frame");
	});
	return { network, announced, beganWith };
}

/** Both come from one snapshot: the second one gets another address, as a clone must. They are not at any port yet. */
async function twoGuests() {
	const [server, client] = [await openLinux(), await openLinux()];
	for (const { guest } of [server, client]) await keep(guest).resume();
	await shell(
		client.guest,
		client.console,
		"ip link set eth0 down; ip link set eth0 address 02:86:00:00:00:02; ip addr flush dev eth0; " +
			"ip addr add 10.5.0.3/24 dev eth0; ip link set eth0 up",
	);
	return { server, client };
}

/** How a guest gets to another port. */
type Move = (guest: V86Guest, network: V86NetworkPort, console: Console) => Promise<V86Guest | V86WorkerGuest>;

const MOVES: Readonly<Record<string, Move>> = {
	"pre-copy": async (guest, network, console) => {
		const { result, target } = await moveV86(guest, linuxFactory({ network }), preCopy, { console });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		return keep(target!);
	},
	"post-copy": async (guest, network, console) => {
		const factory = garbageFactory(console, workerFactory({ network }));
		const { target, moving } = await leave(guest, "post-copy", { console, factory });
		keep(target!);
		const result = await moving;
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		return target!;
	},
};

if (missing === undefined) {
	test.after.each(async () => {
		for (const guest of open) await guest.discard();
		open.clear();
	});

	for (const [name, move] of Object.entries(MOVES))
		test(`a TCP connection between two guests lives on when either of them moves by ${name}, and says so first`, async () => {
			const { network, announced, beganWith } = lan();
			const { server, client } = await twoGuests();
			server.guest.network.connect(network.addPort("server"));
			client.guest.network.connect(network.addPort("client"));
			server.guest.serial.write("wire serve 7 &\n");
			assert.match(await shell(client.guest, client.console, "ping -c 2 -W 5 10.5.0.2"), /2 packets received/);
			client.guest.serial.write("wire dial 10.5.0.2 7 5 &\n");
			await client.console.wait(/^wire 20\r?$/m);
			for (const [who, { guest, console }] of Object.entries({ client, server })) {
				const { macAddress } = guest.network;
				assert.is(network.portOf(macAddress)?.name, who, "its last frame came from where it was");
				const target = await move(guest, network.addPort(`${who} 2`), console);
				assert.is(target.network.macAddress, macAddress);
				assert.is(beganWith.get(`${who} 2`), "an announcement", "before it said anything itself");
				assert.is(network.portOf(macAddress)?.name, `${who} 2`);
				await guest.discard();
				const last = numbersAfter("wire", client.console.text.replaceAll("\r", "")).at(-1)!;
				await client.console.wait(new RegExp(`^wire ${last + 20}\\r?$`, "m"));
			}
			const lines = client.console.text.replaceAll("\r", "");
			assert.not.match(lines, /BROKEN/);
			assert.is(gapIn(numbersAfter("wire", lines)), undefined);
			assert.equal(announced, ["server", "client", "client 2", "server 2"]);
		});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

test.run();
