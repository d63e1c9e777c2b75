import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { gapIn, linuxFactory, numbersAfter, openLinux, shell, whyNoLinux } from "../v86/linux.ts";
import { type Console, moveV86 } from "../v86/move.ts";

const test = suite("v86 guest: network");
const missing = await whyNoLinux();
const open = new Set<V86Guest>();

/** A wire between two guests: what one sends the other gets, wherever either of them runs. */
class Wire {
	readonly #ends: [V86Guest, V86Guest];
	frames = 0;

	constructor(left: V86Guest, right: V86Guest) {
		this.#ends = [left, right];
		this.#plug(0);
		this.#plug(1);
	}

	/** The guest at this end runs elsewhere now. */
	replace(end: 0 | 1, guest: V86Guest): void {
		this.#ends[end] = guest;
		this.#plug(end);
	}

	#plug(end: 0 | 1): void {
		this.#ends[end].network.listen((frame) => {
			this.frames++;
			this.#ends[1 - end]!.network.deliver(frame);
		});
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
		const wire = new Wire(server!.guest, client!.guest);
		server!.guest.serial.write("wire serve 7 &\n");
		assert.match(await shell(client!.guest, client!.console, "ping -c 2 -W 5 10.5.0.2"), /2 packets received/);
		client!.guest.serial.write("wire dial 10.5.0.2 7 5 &\n");
		await client!.console.wait(/^wire 20\r?$/m);
		for (const [end, one] of [
			[1, client!],
			[0, server!],
		] as const) {
			const { result, target } = await moveV86(one.guest, linuxFactory(), preCopy, { console: one.console });
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
			open.add(target!);
			assert.is(target!.network.macAddress, one.guest.network.macAddress);
			wire.replace(end, target!);
			const last = numbersAfter("wire", client!.console.text.replaceAll("\r", "")).at(-1)!;
			await client!.console.wait(new RegExp(`^wire ${last + 20}\\r?$`, "m"));
		}
		const lines = client!.console.text.replaceAll("\r", "");
		assert.not.match(lines, /BROKEN/);
		assert.is(gapIn(numbersAfter("wire", lines)), undefined);
		assert.ok(wire.frames > 100, `${wire.frames} frames`);
	});
} else {
	console.log(missing);
	test("without a prepared Linux these tests are skipped", () => assert.ok(missing));
}

test.run();
