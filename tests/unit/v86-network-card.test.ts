// The card of a v86 guest at a port: when it is there, what it says then, and that it leaves what is another's alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { NetworkCard } from "../../bindings/guests/v86/network-card.ts";
import { type SwitchPort, VirtualSwitch } from "../../bindings/network/switch.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("v86 network card");
const ADDRESS = "02:86:00:00:00:01";
const PEER = [2, 0, 0, 0, 0, 9];

/** A frame from the peer, or from the guest, to all. */
function frame(from: readonly number[], content: number): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(60);
	bytes.set([255, 255, 255, 255, 255, 255, ...from, 8, 0, content]);
	return bytes;
}
const OWN = ADDRESS.split(":").map((part) => Number.parseInt(part, 16));

/** A card, and what its guest has got. */
function card(report: (error: unknown) => void = (error) => assert.unreachable(String(error))) {
	const got: number[] = [];
	const made = new NetworkCard(
		(bytes) => void got.push(bytes[14]!),
		() => ADDRESS,
		report,
	);
	const says = (content: number): void => {
		made.put(frame(OWN, content));
		made.flush();
	};
	return { card: made, got, says };
}

/** A switch with a port for the guest, and a peer that lists what it hears: `RARP`, or the number in a frame. */
function lan() {
	const network = new VirtualSwitch(systemClock);
	const peer = network.addPort("peer");
	const heard: (number | "RARP")[] = [];
	peer.onFrame = (bytes) => void heard.push(bytes[12] === 0x80 && bytes[13] === 0x35 ? "RARP" : bytes[14]!);
	return { network, peer, heard, port: network.addPort("guest") };
}

test("a card is at its port from when its guest first runs, and announces itself once", () => {
	const { network, peer, heard, port } = lan();
	const { card: own, got, says } = card();
	own.connect(port);
	peer.send(frame(PEER, 1));
	assert.equal([got, heard], [[], []], "it does not run yet: its source may be at this port");
	own.open = true;
	assert.equal(heard, ["RARP"], "before it says anything itself");
	assert.is(network.portOf(ADDRESS), port);
	peer.send(frame(PEER, 2));
	says(3);
	own.open = false;
	peer.send(frame(PEER, 4));
	assert.equal(got, [2], "paused, it holds what comes");
	own.open = true;
	assert.equal(
		[got, heard],
		[
			[2, 4],
			["RARP", 3],
		],
	);
});

test("of two cards at one port the last to run has it; the other joins again when its guest goes on", () => {
	const { peer, heard, port } = lan();
	const [first, second] = [card(), card()];
	for (const { card: one } of [first, second]) one.connect(port);
	first.card.open = true;
	first.card.open = false;
	second.card.open = true;
	first.says(1);
	second.says(2);
	peer.send(frame(PEER, 3));
	assert.equal([first.got, second.got, heard], [[], [3], ["RARP", "RARP", 2]]);
	second.card.close();
	first.card.open = true;
	first.says(4);
	peer.send(frame(PEER, 5));
	assert.equal([first.got, second.got, heard], [[5], [3], ["RARP", "RARP", 2, "RARP", 4]]);
});

test("a card whose guest runs already is at its port at once; it has one port at a time", () => {
	const { network, peer, heard, port } = lan();
	const { card: own, got, says } = card();
	own.open = true;
	const leave = own.connect(port);
	assert.equal(heard, ["RARP"]);
	const other = network.addPort("other");
	own.connect(other);
	says(1);
	peer.send(frame(PEER, 2));
	assert.is(port.onFrame, undefined);
	assert.is(network.portOf(ADDRESS), other);
	leave();
	says(3);
	assert.equal([heard, got], [["RARP", "RARP", 1, 3], [2]], "leaving a port that it has left already is nothing");
});

test("a target takes its source's port when it runs, and the source's end does not take it away", () => {
	const { peer, heard, port } = lan();
	const [source, target] = [card(), card()];
	source.card.connect(port);
	source.card.open = true;
	target.card.connect(port);
	peer.send(frame(PEER, 1));
	source.card.open = false;
	target.card.open = true;
	source.card.close();
	peer.send(frame(PEER, 2));
	target.says(3);
	source.says(4);
	assert.equal([source.got, target.got, heard], [[1], [2], ["RARP", "RARP", 3]]);
	target.card.close();
	assert.is(port.onFrame, undefined);
	target.card.open = true;
	assert.equal(heard.length, 3, "what is gone is at no port any more");
});

test("what a port throws is told to the guest's owner, and the guest goes on", () => {
	const { heard, port } = lan();
	const errors: unknown[] = [];
	const { card: own, got, says } = card((error) => void errors.push(error));
	const broken: Pick<SwitchPort, "send" | "announce" | "onFrame"> = {
		onFrame: undefined,
		send: () => {
			throw new TypeError("no send");
		},
		announce: () => {
			throw new TypeError("no announcement");
		},
	};
	own.connect(broken);
	own.open = true;
	says(1);
	own.deliver(frame(PEER, 2));
	assert.equal(errors.map(String), ["TypeError: no announcement", "TypeError: no send"]);
	own.connect(port);
	says(3);
	assert.equal([got, heard], [[2], ["RARP", 3]]);
});

test.run();
