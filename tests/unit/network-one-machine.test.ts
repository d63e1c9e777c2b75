import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readFrames, writeFrame } from "../../bindings/network/frame-stream.ts";
import { oneMachine } from "../../bindings/network/one-machine.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import { MemoryStream } from "../contract/suites/memory-stream.ts";

const test = suite("a network that knows one machine only");
const clock = { now: () => 0, sleep: () => Promise.resolve() };
const NETWORK = [2, 0, 0, 0, 0, 9];
const ALL = [255, 255, 255, 255, 255, 255];
const macOf = (number: number) => [0x52, 0x54, 0, 0, 0, number];
const ip = (number: number) => [10, 0, 0, number];

/** An IPv4 packet. The last number tells it from others. */
function packet(to: number[], from: number[], fromIp: number, toIp: number, content: number): Uint8Array<ArrayBuffer> {
	const frame = new Uint8Array(60);
	frame.set([...to, ...from, 8, 0, 0x45]);
	frame.set([...ip(fromIp), ...ip(toIp), content], 26);
	return frame;
}

function arp(to: number[], from: number[], fromIp: number, toIp: number, operation: number): Uint8Array<ArrayBuffer> {
	const frame = new Uint8Array(60);
	frame.set([...to, ...from, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation, ...from, ...ip(fromIp), ...ALL, ...ip(toIp)]);
	return frame;
}

/** Address at its head, type, and the rest that matters. */
const told = (frame: Uint8Array): string =>
	frame[13] === 0
		? `packet ${frame[5]} ${frame[34]}`
		: `arp ${frame[21]} ${frame[5]} from ${frame[31]} about ${frame[41]}`;

function build() {
	const network = new VirtualSwitch(clock);
	const [near, far] = MemoryStream.pair();
	oneMachine(network.addPort("uplink"), { ip: "10.0.0.15" })(near);
	const heard: string[] = [];
	void (async () => {
		for await (const frame of readFrames(far)) heard.push(told(frame));
	})();
	const got: string[][] = [[], []];
	const [machine, other] = [15, 16].map((number, index) => {
		const port = network.addPort(`m${number}`);
		port.onFrame = (frame) => got[index]!.push(told(frame));
		return port;
	});
	const turn = async () => {
		for (let i = 0; i < 60; i++) await Promise.resolve();
		return { heard: heard.splice(0), machine: got[0]!.splice(0), other: got[1]!.splice(0) };
	};
	return { far, machine: machine!, other: other!, turn };
}

test("what fills a short frame does not reach it: it would take that for data; nothing else is cut off", async () => {
	const network = new VirtualSwitch(clock);
	const [near, far] = MemoryStream.pair();
	oneMachine(network.addPort("uplink"), { ip: "10.0.0.15" })(near);
	const port = network.addPort("machine");
	for (const [packetBytes, frameBytes] of [
		[40, 60],
		[44, 60],
		[46, 60],
		[1500, 1514],
		[46, 1514],
		// No lengths of packets: longer than its frame, shorter than its header.
		[1500, 60],
		[0, 60],
		[19, 60],
	]) {
		const frame = new Uint8Array(frameBytes!);
		frame.set(packet(NETWORK, macOf(15), 15, 2, 7));
		frame.set([packetBytes! >> 8, packetBytes! & 255], 16);
		port.send(frame);
	}
	const lengths: number[] = [];
	for await (const { byteLength } of readFrames(far)) if (lengths.push(byteLength) === 8) break;
	assert.equal(lengths, [54, 58, 60, 1514, 60, 60, 60, 60]);
});

test("its first packets wait until the machine is found, and go to it alone", async () => {
	const { far, machine, turn } = build();
	await writeFrame(far, packet(ALL, NETWORK, 2, 15, 1));
	await writeFrame(far, packet(ALL, NETWORK, 2, 15, 2));
	const asked = await turn();
	assert.equal(asked.machine, ["arp 1 255 from 2 about 15", "arp 1 255 from 2 about 15"]);
	assert.equal(asked.other, asked.machine, "a question to all, and nothing else");
	machine.send(arp(NETWORK, macOf(15), 15, 2, 2));
	assert.equal(await turn(), {
		...{ heard: ["arp 2 9 from 15 about 2"], machine: ["packet 15 1", "packet 15 2"], other: [] },
	});
	await writeFrame(far, packet(ALL, NETWORK, 2, 15, 3));
	assert.equal((await turn()).machine, ["packet 15 3"]);
});

test("it hears its machine and what is asked about itself, nothing of others", async () => {
	const { far, machine, other, turn } = build();
	machine.send(arp(ALL, macOf(15), 15, 2, 1));
	machine.send(arp(ALL, macOf(15), 15, 16, 1));
	machine.send(arp(ALL, macOf(15), 15, 15, 1));
	other.send(arp(ALL, macOf(16), 16, 2, 1));
	other.send(packet(ALL, macOf(16), 16, 255, 1));
	other.send(Uint8Array.from([...ALL, ...macOf(16), 0x86, 0xdd, 0, 0]));
	machine.send(Uint8Array.from([...ALL, ...macOf(15), 8, 0]));
	assert.equal((await turn()).heard, ["arp 1 255 from 15 about 2"]);
	machine.send(packet(NETWORK, macOf(15), 15, 2, 7));
	assert.equal((await turn()).heard, ["packet 9 7"]);
	// It has moved, with its address, to a card of another.
	other.send(packet(NETWORK, macOf(16), 15, 2, 8));
	await turn();
	await writeFrame(far, packet(macOf(15), NETWORK, 2, 15, 9));
	assert.equal((await turn()).other, ["packet 16 9"], "it is where its IP was seen last");
});

test("addresses that are none are refused by name", () => {
	const port = new VirtualSwitch(clock).addPort("uplink");
	for (const address of ["10.0.0", "10.0.0.256", "a.b.c.d", ""])
		assert.throws(() => oneMachine(port, { ip: address, gatewayIp: "10.0.0.2" }), /^RangeError: ip|ip: must be/);
	assert.throws(() => oneMachine(port, { ip: "10.0.0.1", gatewayIp: "x" }), /gatewayIp: must be/);
});

test.run();
