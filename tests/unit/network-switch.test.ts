import { suite } from "uvu";
import * as assert from "uvu/assert";
import { arpAnnouncement, rarpAnnouncement } from "../../bindings/network/announce.ts";
import { readFrames, writeFrame } from "../../bindings/network/frame-stream.ts";
import { capture } from "../../bindings/network/pcap.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import { MemoryStream } from "../contract/suites/memory-stream.ts";

const test = suite("virtual switch");
const clock = { now: () => 1234.5, sleep: () => Promise.resolve() };

/** A frame from one short address to another, with a number in it. */
function frame(to: number, from: number, content = 0, byteLength = 60): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(byteLength);
	bytes.set(to === ALL ? [255, 255, 255, 255, 255, 255] : [0x52, 0x54, 0, 0, 0, to]);
	bytes.set([0x52, 0x54, 0, 0, 0, from, 8, 0, content], 6);
	return bytes;
}
const ALL = -1;

/** A switch with ports that write down what they are given. */
function build(count: number) {
	const network = new VirtualSwitch(clock);
	const got: number[][] = [];
	const ports = Array.from({ length: count }, (_, index) => {
		const port = network.addPort(`p${index}`);
		got[index] = [];
		port.onFrame = (bytes) => got[index]!.push(bytes[14]!);
		return port;
	});
	const take = () => got.map((list) => list.splice(0));
	return { network, ports, take };
}

test("unknown and group addresses go to all others, known ones to their port only, nothing comes back", () => {
	const { network, ports, take } = build(3);
	ports[0]!.send(frame(2, 1, 10));
	assert.equal(take(), [[], [10], [10]], "2 is not known yet");
	ports[1]!.send(frame(1, 2, 11));
	assert.equal(take(), [[11], [], []]);
	ports[0]!.send(frame(2, 1, 12));
	assert.equal(take(), [[], [12], []]);
	ports[0]!.send(frame(ALL, 1, 13));
	assert.equal(take(), [[], [13], [13]]);
	ports[0]!.send(frame(1, 9, 14));
	assert.equal(take(), [[], [], []], "its own side has it already");
	assert.is(network.portOf("52:54:00:00:00:02"), ports[1]);
});

test("a machine is found where it was seen last, announced or not, and a closed port is forgotten", () => {
	const { network, ports, take } = build(3);
	ports[1]!.send(frame(1, 2));
	take();
	ports[2]!.announce("52:54:00:00:00:02");
	take();
	ports[0]!.send(frame(2, 1, 5));
	assert.equal(take(), [[], [], [5]]);
	ports[2]!.close();
	ports[2]!.close();
	assert.is(network.portOf("52:54:00:00:00:02"), undefined);
	ports[0]!.send(frame(2, 1, 6));
	assert.equal(take(), [[], [6], []], "unknown again: to all that are left");
	assert.is(ports[2]!.send(frame(1, 2)), false);
	assert.is(network.ports.length, 2);
});

test("the table of addresses is bounded", () => {
	const { network, ports } = build(2);
	for (let i = 0; i < 5000; i++) {
		const bytes = frame(1, 0);
		bytes.set([0, 0, i >> 8, i & 255], 8);
		ports[0]!.send(bytes);
	}
	assert.is(network.portOf("52:54:00:00:00:00"), undefined, "the first made room");
	assert.is(network.portOf("52:54:00:00:13:87"), ports[0], "the last is known");
});

test("what is no frame goes nowhere, is counted, and does not trouble its sender", () => {
	const { ports, take } = build(2);
	for (const byteLength of [0, 13, 70_000]) assert.is(ports[0]!.send(new Uint8Array(byteLength)), false);
	assert.is(ports[0]!.badFrames, 3);
	assert.equal(take(), [[], []]);
	assert.is(ports[0]!.send(new Uint8Array(14)), true, "the smallest there is");
	assert.throws(() => rarpAnnouncement("52:54:00"), /address/);
	assert.throws(() => arpAnnouncement("52:54:00:00:00:01", "10.0.0.256"), /ip/);
});

test("a gate lets nothing out before its epoch is released, in order, and drops what nobody acknowledged", () => {
	const { ports, take } = build(2);
	const { gate } = ports[0]!;
	gate.hold();
	ports[0]!.send(frame(ALL, 1, 1));
	const first = gate.seal();
	ports[0]!.send(frame(ALL, 1, 2));
	ports[0]!.send(frame(ALL, 1, 3));
	const second = gate.seal();
	ports[0]!.send(frame(ALL, 1, 4));
	assert.equal(take(), [[], []]);
	assert.is(gate.heldFrames, 4);
	assert.is(gate.heldBytes, 240);
	assert.throws(() => gate.release(second + 1), /not sealed/);
	assert.is(gate.release(first), 1);
	assert.equal(take(), [[], [1]]);
	assert.is(gate.release(first), 0, "none leaves twice");
	assert.is(gate.discardAfter(second), 1);
	assert.is(gate.release(second), 2);
	assert.equal(take(), [[], [2, 3]]);
	assert.is(gate.heldBytes, 0);
	ports[0]!.send(frame(ALL, 1, 5));
	gate.open();
	ports[0]!.send(frame(ALL, 1, 6));
	assert.equal(take(), [[], [5, 6]]);
});

test("what a gate holds is bounded: calls are refused, a stream is not read from until there is room", async () => {
	const network = new VirtualSwitch(clock);
	const port = network.addPort("bounded", 200);
	const other = network.addPort("other");
	const seen: number[] = [];
	other.onFrame = (bytes) => seen.push(bytes[14]!);
	port.gate.hold();
	for (let i = 0; i < 3; i++) assert.is(port.send(frame(ALL, 1, i)), true);
	assert.is(port.send(frame(ALL, 1, 3)), false);
	assert.is(port.gate.refusedFrames, 1);
	const [near, far] = MemoryStream.pair();
	port.attach(near);
	for (let i = 10; i < 14; i++) await writeFrame(far, frame(ALL, 1, i));
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
	assert.is(port.gate.heldFrames, 3, "nothing was read over the limit");
	port.gate.open();
	for (let turn = 0; seen.length < 7 && turn < 1000; turn++) await Promise.resolve();
	assert.equal(seen, [0, 1, 2, 10, 11, 12, 13], "and nothing of the stream was lost");
});

test("a listener that throws is taken off and named, and the machine whose frame it was stays connected", async () => {
	const failures: string[] = [];
	const network = new VirtualSwitch(clock, { onError: (error) => failures.push(String(error)) });
	const port = network.addPort("machine");
	const other = network.addPort("other");
	const seen: number[] = [];
	let calls = 0;
	network.tap(() => {
		calls++;
		throw new TypeError("the tap's");
	});
	other.onFrame = (bytes) => {
		seen.push(bytes[14]!);
		throw new TypeError("the port's");
	};
	const [near, far] = MemoryStream.pair();
	port.attach(near);
	for (const number of [1, 2]) await writeFrame(far, frame(ALL, 1, number));
	for (let turn = 0; turn < 40; turn++) await Promise.resolve();
	assert.ok(port.isAttached);
	assert.equal([seen, calls], [[1, 2], 1], "the machine's own frames go on, the tap is off");
	assert.equal(failures, ["TypeError: the tap's", "TypeError: the port's", "TypeError: the port's"]);
	assert.is(other.send(frame(1, 2, 3)), true);
});

test("a stream that was replaced while it waited for room sends nothing more", async () => {
	const network = new VirtualSwitch(clock);
	const port = network.addPort("bounded", 100);
	const seen: number[] = [];
	network.addPort("other").onFrame = (bytes) => seen.push(bytes[14]!);
	port.gate.hold();
	const [near, far] = MemoryStream.pair();
	port.attach(near);
	for (const number of [1, 2]) await writeFrame(far, frame(ALL, 1, number));
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
	assert.is(port.gate.heldFrames, 1, "the second waits for room");
	const [nearer, farther] = MemoryStream.pair();
	port.attach(nearer);
	port.gate.open();
	await writeFrame(farther, frame(ALL, 1, 3));
	for (let turn = 0; turn < 40; turn++) await Promise.resolve();
	assert.equal(seen, [1, 3], "2 was its predecessor's, which is gone");
});

test("a closed port lets nothing out that came while it waited for room", async () => {
	const network = new VirtualSwitch(clock);
	const port = network.addPort("bounded", 100);
	const seen: number[] = [];
	network.addPort("other").onFrame = (bytes) => seen.push(bytes[14]!);
	port.gate.hold();
	const [near, far] = MemoryStream.pair();
	port.attach(near);
	for (const number of [1, 2]) await writeFrame(far, frame(ALL, 1, number));
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
	port.close();
	port.gate.open();
	for (let turn = 0; turn < 40; turn++) await Promise.resolve();
	assert.equal(seen, []);
});

test("frames pass streams whole, however the bytes are cut; a length that no frame has ends it", async () => {
	const [near, far] = MemoryStream.pair();
	const sent = [frame(2, 1, 1), frame(2, 1, 2, 1514), frame(2, 1, 3, 60)];
	const bytes: number[] = [];
	for (const one of sent) bytes.push(...new Uint8Array(new Uint32Array([one.byteLength]).buffer).reverse(), ...one);
	const writing = (async () => {
		for (let at = 0; at < bytes.length; at += 7) await far.write([Uint8Array.from(bytes.slice(at, at + 7))]);
		await far.write([Uint8Array.of(0, 0, 0, 3)]);
	})();
	const got: Uint8Array[] = [];
	let failure: unknown;
	try {
		for await (const one of readFrames(near)) got.push(one);
	} catch (error) {
		failure = error;
	}
	await writing;
	assert.equal(got, sent);
	assert.match(String(failure), /a frame of 3 bytes/);
});

test("two switches with a trunk between them are one network", async () => {
	const left = build(2);
	const right = build(2);
	const [near, far] = MemoryStream.pair();
	left.network.addPort("trunk").attach(near);
	right.network.addPort("trunk").attach(far);
	left.ports[0]!.send(frame(7, 1, 21));
	for (let turn = 0; turn < 100; turn++) await Promise.resolve();
	assert.equal(right.take(), [[21], [21]]);
	right.ports[1]!.send(frame(1, 7, 22));
	for (let turn = 0; turn < 100; turn++) await Promise.resolve();
	assert.equal(left.take(), [[22], [21]], "21 was flooded before 7 was known");
});

test("a capture has a header and a record per frame, and stops", () => {
	const { network, ports } = build(2);
	const parts: Uint8Array[] = [];
	const stop = capture(network, (bytes) => parts.push(bytes), 1_700_000_000_000);
	ports[0]!.send(frame(2, 1, 1));
	stop();
	ports[0]!.send(frame(2, 1, 2));
	assert.equal(
		parts.map(({ byteLength }) => byteLength),
		[24, 16 + 60],
	);
	const header = new DataView(parts[0]!.slice().buffer);
	assert.is(header.getUint32(0, true), 0xa1b2_c3d4);
	assert.is(header.getUint32(20, true), 1);
	const record = new DataView(parts[1]!.slice().buffer);
	assert.equal(
		[0, 4, 8, 12].map((at) => record.getUint32(at, true)),
		[1_700_000_001, 234_500, 60, 60],
	);
});

test("an ARP announcement says address and IP twice, to all", () => {
	const bytes = arpAnnouncement("52:54:00:00:00:09", "10.0.0.9");
	assert.is(bytes.byteLength, 60);
	assert.equal([...bytes.subarray(0, 14)], [255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0, 0, 9, 8, 6]);
	assert.equal([...bytes.subarray(28, 32)], [10, 0, 0, 9]);
	assert.equal([...bytes.subarray(38, 42)], [10, 0, 0, 9]);
	assert.equal([...rarpAnnouncement("52:54:00:00:00:09").subarray(12, 22)], [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
});

test.run();
