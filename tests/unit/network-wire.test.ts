// A wire and its hosts, over this machine's sockets, without any guest: what comes, goes, breaks and lies at it.
import { linkSync, renameSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { writeFrame, writeOrder } from "../../bindings/network/frame-stream.ts";
import { startWire, type Wire, type WireOptions } from "../../bindings/network/wire.ts";
import {
	type ConnectWireOptions,
	connectWire,
	fenceWirePort,
	stopWire,
	type WirePort,
	wireStatus,
} from "../../bindings/network/wire-client.ts";
import type { WireStatus } from "../../bindings/network/wire-orders.ts";
import { sweepWires } from "../../bindings/network/wire-place.ts";
import type { OpenUplink } from "../../bindings/network/wire-uplink.ts";
import { openPlatform, rejection } from "../qemu/stage.ts";

const test = suite("wire");
const { platform } = await openPlatform();
const folder = `/tmp/pageferry-wire-test-${platform.files.pid}`;
const place = { name: "lab", folder };
const wires = new Set<Wire>();
const ports = new Set<WirePort>();

test.after.each(async () => {
	for (const port of ports) await port.close();
	for (const wire of wires) await wire.stop();
	ports.clear();
	wires.clear();
	assert.equal(await platform.files.names(folder), [], "nothing is left");
});
test.after(() => platform.files.removeTree(folder));

async function start(options: Partial<WireOptions> = {}): Promise<Wire> {
	const wire = await startWire(platform, { ...place, ...options });
	wires.add(wire);
	return wire;
}

/** A host with an inbox of the numbers in frames. */
async function host(port: string, options: Partial<ConnectWireOptions> = {}) {
	const connected = await connectWire(platform, { ...place, port, ...options });
	ports.add(connected);
	const got: number[] = [];
	let arrived: () => void = () => undefined;
	connected.onFrame = (bytes) => {
		got.push(bytes[14]!);
		arrived();
	};
	/** Waits until so many have come. */
	const has = async (count: number): Promise<readonly number[]> => {
		while (got.length < count)
			await new Promise<void>((resolve) => {
				arrived = resolve;
			});
		return got;
	};
	return { port: connected, got, has };
}

const ALL = -1;
/** A frame from one short address to another, with a number in it. */
function frame(to: number, from: number, content: number): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(60);
	bytes.set(to === ALL ? [255, 255, 255, 255, 255, 255] : [0x52, 0x54, 0, 0, 0, to]);
	bytes.set([0x52, 0x54, 0, 0, 0, from, 8, 0, content], 6);
	return bytes;
}

/** Asks until the wire is as wanted. */
async function settled(isSo: (status: WireStatus) => boolean): Promise<WireStatus> {
	for (;;) {
		const status = await wireStatus(platform, place);
		if (isSo(status)) return status;
	}
}

test("frames of hosts meet at the wire's switch; it says who is where, and a host that leaves is forgotten", async () => {
	const wire = await start();
	const [a, b, c] = [await host("a"), await host("b"), await host("c")];
	a.port.send(frame(ALL, 1, 10));
	assert.equal([await b.has(1), await c.has(1)], [[10], [10]]);
	b.port.send(frame(1, 2, 11));
	assert.equal(await a.has(1), [11]);
	assert.equal(c.got, [10], "1 is known to be at a");
	const status = await wireStatus(platform, place);
	assert.is(status.pid, platform.files.pid);
	assert.equal(status.uplink, { state: "none" });
	assert.equal(
		status.ports.map(({ name, machines }) => [name, machines]),
		[
			["a", ["52:54:00:00:00:01"]],
			["b", ["52:54:00:00:00:02"]],
			["c", []],
		],
	);
	assert.is(a.port.send(new Uint8Array(5)), false, "no frame");
	assert.is(a.port.lostFrames, 1);
	await a.port.close();
	await a.port.close();
	assert.is((await a.port.ended).code, "closed");
	await settled((now) => now.ports.length === 2);
	assert.is(wire.network.portOf("52:54:00:00:00:01"), undefined);
	assert.is(a.port.send(frame(ALL, 1, 12)), false);
});

test("one wire of a name: a second is told who has it, also when both start at once; a stopped one leaves its name", async () => {
	await start();
	const second = await rejection(startWire(platform, place));
	assert.is(second.code, "name-taken");
	assert.match(second.message, new RegExp(`lab.*process ${platform.files.pid}`));
	await stopWire(platform, place);
	assert.equal(await platform.files.names(folder), []);
	const none = await rejection(wireStatus(platform, place));
	assert.is(none.code, "no-wire");
	assert.match(none.message, /pageferry wire start/);
	const both = await Promise.allSettled([start(), start()]);
	assert.equal(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
	await start({ name: "other" });
});

test("what a wire leaves that is killed before its name is published is removed by the next; what lives there stays", async () => {
	await platform.files.makePrivateFolder(folder);
	const at = (file: string) => `${folder}/${file}`;
	/** A socket that lives, under its publisher's own name and under its claim on a dead one (platform/unix-socket-file.ts). */
	const listener = await platform.listen({ transport: "unix", path: at("wire-alive.sock") });
	const living = [".0123abcd-ef01", ".a1b2"];
	for (const name of living) linkSync(at("wire-alive.sock"), at(name));
	await platform.files.write(at(".fedcba98-7654"), new Uint8Array(1));
	const leave = async (): Promise<void> => {
		for (const name of [".89abcdef-0123", ".zz9"]) {
			const killed = await platform.listen({ transport: "unix", path: at("killed") });
			renameSync(at("killed"), at(name));
			await killed.close();
		}
		assert.is((await platform.files.names(folder)).length, 6);
	};
	await leave();
	await sweepWires(platform, folder);
	const stays = [...living, ".fedcba98-7654", "wire-alive.sock"];
	assert.equal([...(await platform.files.names(folder))].sort(), stays, "by a sweep");
	await leave();
	const wire = await start();
	assert.equal([...(await platform.files.names(folder))].sort(), [...stays, "wire-lab.sock"], "by the next start");
	await wire.stop();
	await listener.close();
	for (const name of [...living, ".fedcba98-7654"]) await platform.files.removeTree(at(name));
});

test("ports have one host each, and names that are none are refused before anything is done", async () => {
	const wire = await start();
	await host("a");
	const taken = await rejection(connectWire(platform, { ...place, port: "a" }));
	assert.is(taken.code, "port-taken");
	assert.is((await wireStatus(platform, place)).ports.length, 1, "the first stays");
	for (const name of ["", "a/b", "-x", "x".repeat(41)]) {
		assert.match((await rejection(startWire(platform, { ...place, name }))).message, /^RangeError: name/);
		assert.match((await rejection(connectWire(platform, { ...place, port: name }))).message, /^RangeError: port/);
	}
	assert.match((await rejection(startWire(platform, { ...place, tcpPort: -1 }))).message, /^RangeError: tcpPort/);
	assert.is((await rejection(connectWire(platform, { name: "nowhere", folder, port: "a" }))).code, "no-wire");
	assert.is(wire.network.ports.length, 1);
});

test("a host says for its machine where it is now, and a machine that moved is found there", async () => {
	const wire = await start();
	const [source, target, peer] = [await host("source"), await host("target"), await host("peer")];
	source.port.send(frame(ALL, 1, 1));
	await peer.has(1);
	target.port.announce("52:54:00:00:00:01");
	await peer.has(2);
	assert.is(wire.network.portOf("52:54:00:00:00:01")?.name, "target");
	peer.port.send(frame(1, 9, 2));
	assert.equal(await target.has(2), [1, 2]);
	assert.is(source.got.length, 1, "the announcement, and not the frame");
	assert.throws(() => target.port.announce("1"), /^address: must be like/);
});

test("hosts connect by TCP as well", async () => {
	const wire = await start({ tcpPort: 0 });
	const address = wire.addresses.find(({ transport }) => transport === "tcp")!;
	const near = await host("near");
	const far = await connectWire(platform, { address, port: "far" });
	ports.add(far);
	far.send(frame(ALL, 1, 7));
	assert.equal(await near.has(1), [7]);
	assert.is((await wireStatus(platform, { address })).ports.length, 2);
});

test("a gate's orders keep their place among the frames: epochs leave whole, or not at all", async () => {
	await start();
	const [guest, peer] = [await host("guest"), await host("peer")];
	const { gate } = guest.port;
	gate.hold();
	guest.port.send(frame(ALL, 1, 1));
	const first = gate.seal();
	guest.port.send(frame(ALL, 1, 2));
	const second = gate.seal();
	guest.port.send(frame(ALL, 1, 3));
	const held = await settled(({ ports: [port] }) => port?.heldFrames === 3);
	assert.is(held.ports[0]!.heldBytes, 180);
	assert.throws(() => gate.release(second + 1), /not sealed/);
	gate.release(first);
	assert.equal(await peer.has(1), [1]);
	gate.discardAfter(second);
	gate.release(second);
	gate.open();
	guest.port.send(frame(ALL, 1, 4));
	assert.equal(await peer.has(3), [1, 2, 4]);
	gate.hold();
	guest.port.send(frame(ALL, 1, 5));
	await settled(({ ports: [port] }) => port?.heldFrames === 1);
	await guest.port.close();
	await settled(({ ports: { length } }) => length === 1);
	const other = await host("other");
	other.port.send(frame(ALL, 1, 6));
	assert.equal(await peer.has(4), [1, 2, 4, 6], "what a host that is gone had not released never was");
});

test("a full gate drops, so that the order which makes room is heard", async () => {
	await start({ heldBytesLimit: 100 });
	const [guest, peer] = [await host("guest"), await host("peer")];
	guest.port.gate.hold();
	for (const number of [1, 2, 3]) guest.port.send(frame(ALL, 1, number));
	await settled(({ ports: [port] }) => port?.refusedFrames === 2);
	guest.port.gate.release(guest.port.gate.seal());
	assert.equal(await peer.has(1), [1]);
});

test("a wire that ends and comes again finds its hosts again, and their gates as they were", async () => {
	const first = await start();
	const changes: string[] = [];
	let changed: () => void = () => undefined;
	const until = async (count: number): Promise<void> => {
		while (changes.length < count)
			await new Promise<void>((resolve) => {
				changed = resolve;
			});
	};
	const say = (name: string) => ({
		onChange: (isConnected: boolean, reason?: Error) => {
			changes.push(`${name} ${isConnected ? "back" : `lost ${reason?.name}`}`);
			changed();
		},
	});
	const [guest, peer] = [await host("guest", say("guest")), await host("peer", say("peer"))];
	guest.port.gate.hold();
	guest.port.gate.seal();
	guest.port.gate.seal();
	await settled(({ ports: { length } }) => length === 2);
	await first.stop();
	await until(2);
	assert.is(guest.port.isConnected, false);
	assert.is(guest.port.send(frame(ALL, 1, 1)), false);
	assert.is(guest.port.gate.seal(), 3, "epochs go on while there is no wire");
	await start();
	await until(4);
	assert.equal(changes.map((change) => change.replace(/ lost \w+/, " lost")).sort(), [
		...["guest back", "guest lost", "peer back", "peer lost"],
	]);
	guest.port.send(frame(ALL, 1, 2));
	guest.port.gate.release(2);
	const fourth = guest.port.gate.seal();
	assert.is(fourth, 4);
	guest.port.send(frame(ALL, 1, 3));
	await settled(({ ports: all }) => all.some(({ heldFrames }) => heldFrames === 2));
	assert.equal(peer.got, []);
	guest.port.gate.release(fourth);
	assert.equal(await peer.has(1), [2]);
});

test("a port that was cut off lets nothing out any more, and its host is told", async () => {
	await start();
	const [old, peer] = [await host("old"), await host("peer")];
	old.port.gate.hold();
	old.port.send(frame(ALL, 1, 1));
	await settled(({ ports: [port] }) => port?.heldFrames === 1);
	await fenceWirePort(platform, place, "old");
	old.port.gate.open();
	assert.is((await old.port.ended).code, "fenced");
	assert.is((await rejection(connectWire(platform, { ...place, port: "old" }))).code, "fenced");
	const fresh = await host("new");
	fresh.port.send(frame(ALL, 1, 2));
	assert.equal(await peer.has(1), [2]);
});

test("what is no host is refused, and harms nobody", async () => {
	const wire = await start();
	const [a, b] = [await host("a"), await host("b")];
	const address = wire.addresses[0]!;
	const bytes = (text: string) => new TextEncoder().encode(text);
	const join = (more: object) => bytes(JSON.stringify({ order: "join", version: 1, port: "x", epoch: 1, ...more }));
	const attempts: [string, (stream: Awaited<ReturnType<typeof platform.connect>>) => Promise<void>][] = [
		["a frame at once", (stream) => writeFrame(stream, frame(ALL, 9, 66))],
		["no JSON", (stream) => writeOrder(stream, bytes("{"))],
		["nothing known", (stream) => writeOrder(stream, bytes('{"order":"dance"}'))],
		["no object", (stream) => writeOrder(stream, bytes("null"))],
		["another version", (stream) => writeOrder(stream, join({ version: 2 }))],
		["no port", (stream) => writeOrder(stream, join({ port: "../x" }))],
		["no epoch", (stream) => writeOrder(stream, join({ epoch: -1 }))],
		["a taken port", (stream) => writeOrder(stream, join({ port: "a" }))],
		["a gate without a port", (stream) => writeOrder(stream, bytes('{"order":"open"}'))],
		["a length of 2 GiB", (stream) => stream.write([Uint8Array.of(0x7f, 255, 255, 255)])],
		["an order of 2 GiB", (stream) => stream.write([Uint8Array.of(255, 255, 255, 255)])],
		[
			"an epoch that was never sealed",
			async (stream) => {
				await writeOrder(stream, join({}));
				await writeOrder(stream, bytes('{"order":"release","epoch":7}'));
			},
		],
		[
			"a question among frames",
			async (stream) => {
				await writeOrder(stream, join({}));
				await writeOrder(stream, bytes('{"order":"status"}'));
			},
		],
	];
	for (const [what, attempt] of attempts) {
		const stream = await platform.connect(address);
		await attempt(stream);
		const room = new Uint8Array(70_000);
		// Its end, in order or not.
		for (let count = 1; count > 0; ) count = await stream.readInto(room).catch(() => 0);
		stream.abort("done");
		await settled(({ ports: { length } }) => length === 2);
		a.port.send(frame(ALL, 1, 1));
		assert.is((await b.has(1)).length, 1, what);
		b.got.length = 0;
	}
	const half = await platform.connect(address);
	await writeOrder(half, join({}));
	await half.write([Uint8Array.of(0, 0, 0, 60, 1, 2, 3)]);
	await settled(({ ports: { length } }) => length === 3);
	half.abort("dies in the middle of a frame");
	await settled(({ ports: { length } }) => length === 2);
	a.port.send(frame(ALL, 1, 2));
	assert.equal(await b.has(1), [2]);
});

test("an uplink that ends by itself is started again, and the wire says how it is", async () => {
	const fail: ((error: Error) => void)[] = [];
	const closed: number[] = [];
	const heard: string[] = [];
	let opens = 0;
	const uplink: OpenUplink = async (port) => {
		const pid = ++opens;
		if (pid === 2) throw new TypeError("the port is taken");
		port.onFrame = () => undefined;
		return {
			pid,
			failed: new Promise((resolve) => fail.push(resolve)),
			close: async () => void closed.push(pid),
		};
	};
	const wire = await start({ uplink, onUplinkDown: (error) => heard.push(error.message) });
	assert.equal(wire.status().uplink, { state: "up", pid: 1 });
	fail[0]!(new TypeError("killed"));
	const down = await settled(({ uplink: now }) => now.state === "down");
	assert.equal(down.uplink, { state: "down", reason: "killed" });
	await settled(({ uplink: now }) => now.state === "up" && now.pid === 3);
	assert.equal(heard, ["killed", "the port is taken"]);
	await wire.stop();
	assert.equal(closed.includes(1) && closed.includes(3), true);
	const refusing: OpenUplink = () => Promise.reject(new TypeError("install passt"));
	assert.match((await rejection(startWire(platform, { ...place, uplink: refusing }))).message, /install passt/);
});

test.run();
