// `pageferry wire`: a process that holds a network, and words to it. The command is Node's.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectWire } from "../../bindings/network/wire-client.ts";
import type { WireStatus } from "../../bindings/network/wire-orders.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { CommandProcess, gone } from "./command-process.ts";

const test = suite("pageferry wire");
const platform = nodePlatform();
const base = mkdtempSync(join(tmpdir(), "wire-command-test-"));
const folder = join(base, "wires");
const place = { name: "lab", folder };
const named = ["--name", "lab", "--folder", folder];
const running = new Set<CommandProcess>();

/** A wire without clients, started. */
async function start(...more: readonly string[]): Promise<CommandProcess> {
	const command = new CommandProcess("wire", "start", ...named, "--uplink", "none", ...more);
	running.add(command);
	await command.says(/wire lab runs in process \d+: hosts connect at .*wire-lab\.sock.*; without clients/);
	return command;
}
const run = (...args: readonly string[]) => new CommandProcess("wire", ...args).ended;

test.after.each(async () => {
	for (const command of running) command.kill("SIGKILL");
	await gone([...running].map(({ pid }) => pid));
	running.clear();
});
test.after(() => rmSync(base, { recursive: true }));

test("hosts meet at it, it says who they are, and ends in order when it is asked to, by word or by signal", async () => {
	const pcap = join(base, "wire.pcap");
	const wire = await start("--pcap", pcap, "--tcp", "0");
	const host = await connectWire(platform, { ...place, port: "host" });
	const peer = await connectWire(platform, { ...place, port: "peer" });
	const arrived = new Promise<void>((resolve) => {
		peer.onFrame = () => resolve();
	});
	const frame = new Uint8Array(60).fill(255, 0, 6);
	frame.set([0x52, 0x54, 0, 0, 0, 1, 8, 0], 6);
	host.send(frame);
	await arrived;
	const status: WireStatus = JSON.parse((await run("status", ...named, "--json")).output);
	assert.is(status.pid, wire.pid);
	assert.is(status.addresses.length, 2);
	const words = await run("status", ...named);
	assert.match(words.output, /\n {2}host: 52:54:00:00:00:01\n {2}peer: nobody yet\n$/);
	assert.is((await run("fence", ...named, "--port", "host")).code, 0);
	assert.is((await host.ended).code, "fenced");
	const stopped = await run("stop", ...named);
	assert.is(stopped.code, 0, stopped.errors);
	assert.equal(readdirSync(folder), [], "when it is said to have ended, nothing is left");
	assert.is((await wire.ended).code, 0);
	assert.is(readFileSync(pcap).byteLength, 24 + 16 + 60, "a capture of one frame");
	await peer.close();

	const other = await start();
	other.kill("SIGTERM");
	assert.is((await other.ended).code, 0);
	assert.equal(readdirSync(folder), []);
});

test("a second one of its name is refused; one that was killed leaves its name to the next", async () => {
	const first = await start();
	const second = await run("start", ...named, "--uplink", "none");
	assert.is(second.code, 1);
	assert.match(second.errors, new RegExp(`a wire named lab runs already \\(process ${first.pid}\\)`));
	first.kill("SIGKILL");
	await first.ended;
	assert.equal(readdirSync(folder), ["wire-lab.sock"]);
	const dead = await run("status", ...named);
	assert.is(dead.code, 1);
	assert.match(dead.errors, /no wire at .*wire-lab\.sock: start one with `pageferry wire start`/);
	const other = new CommandProcess("wire", "start", "--name", "x", "--folder", folder, "--uplink", "none");
	running.add(other);
	await other.says(/runs in process/);
	assert.equal(readdirSync(folder), ["wire-x.sock"], "the next start of any name clears up");
	await start();
});

test("what cannot be is said in words, with what to do, and leaves nothing", async () => {
	const words = await run("dance");
	assert.is(words.code, 2);
	assert.match(words.errors, /wire dance: use wire start/);
	const name = await run("stop", "--name", "a/b", "--folder", folder);
	assert.is(name.code, 1);
	assert.match(name.errors, /name: up to 40/);
	const disk = await run("start", ...named, "--uplink", "none", "--pcap", join(base, "no/such/folder"));
	assert.is(disk.code, 1);
	assert.match(disk.errors, /ENOENT/);
	assert.equal(readdirSync(folder).includes("wire-lab.sock"), false);
});

test("an uplink that is not installed is named, with what to install, and nothing is left", async () => {
	for (const [uplink, advice] of [
		["user", /qemu-system-x86_64 cannot be started: install it \(Debian: apt install qemu-system-x86\)/],
		["passt", /passt cannot be started: install it \(Debian: apt install passt\)/],
	] as const) {
		const path = process.env["PATH"];
		process.env["PATH"] = "/nowhere";
		const end = await run("start", ...named, "--uplink", uplink);
		process.env["PATH"] = path;
		assert.is(end.code, 1);
		assert.match(end.errors, advice);
		assert.equal(readdirSync(folder).includes("wire-lab.sock"), false);
	}
});

test.run();
