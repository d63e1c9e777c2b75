// v86 guests move from Node to Deno and home again, between processes: what they do goes on, and a counted run is to the last bit
// the run that was not moved.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86Guest, type V86GuestFactory } from "../../bindings/guests/v86/index.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";
import { nodeRuntime } from "../contract/suites/node-runtime.ts";
import { letterFault, Mode, oracleFault, Variable } from "../v86/boot-sector.ts";
import { checkLoads, LOADS, linuxFactory, openLinux, platform, shell, threeMore, whyNoLinux } from "../v86/linux.ts";
import { Console, heardFactory } from "../v86/move.ts";
import { MEMORY_BYTES, openBootSector, runBootSector } from "../v86/open-guests.ts";

const test = suite("v86 guest: between runtimes");
const missing = await whyNoLinux();
const { clock, random, listen, connect, processes } = platform;
const open = new Set<V86Guest>();
const keep = (guest: V86Guest): V86Guest => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

/** To a process on Deno and back: one console hears it wherever it runs. */
async function thereAndBack(guest: V86Guest, work: "letters" | "loads" | "steps", console: Console): Promise<V86Guest> {
	const factory: V86GuestFactory = linuxFactory();
	const home = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	const program = nodeRuntime.foreignProgram!("v86-there-and-back", JSON.stringify(home.address), work);
	const there = await processes.start(program);
	try {
		const lines = there.lines[Symbol.asyncIterator]();
		const address: StreamAddress = JSON.parse(String((await lines.next()).value));
		const left = await preCopy({ guest, link: openLink(await connect(address)), clock, random });
		assert.is(left.outcome, "moved", left.outcome === "moved" ? "" : left.error.message);
		const before = console.text;
		console.text = "";
		const link = openLink((await home.accept())!);
		const received = await receiveGuest({ link, factories: [heardFactory(factory, console)], clock });
		const back = received.outcome === "running" ? received.guest : undefined;
		const report = JSON.parse(String((await lines.next()).value));
		assert.is(report.runtime, "deno");
		assert.is(report.outcome, "moved");
		console.text = before + report.text + console.text;
		assert.instance(back, V86Guest);
		return keep(back as V86Guest);
	} finally {
		there.kill("SIGKILL");
		await there.ended;
		await home.close();
	}
}

const hashesOf = async (guest: V86Guest): Promise<string> =>
	(await guest.pages.hashes(0, guest.pages.pageCount)).toString();

/** Against a run that nobody has moved: RAM, clock and devices. */
async function sameAsUnmoved(moved: V86Guest, unmoved: V86Guest): Promise<void> {
	await moved.pause({ deadlineMs: 5000 });
	assert.ok(moved.steps > unmoved.steps);
	await unmoved.advance(moved.steps - unmoved.steps);
	assert.is(unmoved.timeMs, moved.timeMs);
	assert.ok((await hashesOf(moved)) === (await hashesOf(unmoved)), "a page differs");
	assert.ok((await moved.state.capture()).toString() === (await unmoved.state.capture()).toString(), "devices differ");
}

test("the oracle's guest goes to Deno and home: no letter is lost, its pages have one step at most", async () => {
	const guest = keep(await runBootSector("oracle"));
	const console = new Console();
	console.follow(guest);
	await console.more(10);
	const back = await thereAndBack(guest, "letters", console);
	await console.more(30);
	await back.pause({ deadlineMs: 5000 });
	assert.ok(console.text.length > 70);
	assert.is(letterFault(console.text), undefined);
	assert.is(oracleFault(back.readMemory(0, MEMORY_BYTES)), undefined);
});

test("a counted run that was in Deno meanwhile is, at every bit, the run that never left", async () => {
	const start = async (): Promise<V86Guest> => {
		const guest = keep(await openBootSector({ time: "counted", compile: false }));
		await guest.resume();
		guest.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
		await guest.pause({ deadlineMs: 5000 });
		return guest;
	};
	const guest = await start();
	await guest.resume();
	await sameAsUnmoved(await thereAndBack(guest, "steps", new Console()), await start());
});

if (missing === undefined) {
	test("Linux goes to Deno and home: counters, oracle and hashes go on, and its shell answers", async () => {
		const { guest, console } = await openLinux();
		keep(guest);
		await guest.resume();
		guest.serial.write(`${LOADS}\n`);
		await threeMore(console);
		const back = await thereAndBack(guest, "loads", console);
		await threeMore(console);
		checkLoads(console.text);
		assert.match(await shell(back, console, "cat /proc/uptime"), /^\d+\.\d\d \d+\.\d\d$/m);
	});

	test("a counted Linux that was in Deno meanwhile is, at every bit, the one that never left", async () => {
		const start = async (): Promise<V86Guest> => {
			const { guest } = await openLinux({ time: "counted", compile: false });
			guest.serial.write("while :; do i=$((i+1)); ls /proc >/tmp/x; done &\n");
			await guest.advance(100);
			return keep(guest);
		};
		const guest = await start();
		await guest.resume();
		await sameAsUnmoved(await thereAndBack(guest, "steps", new Console()), await start());
	});
} else console.log(missing);

test.run();
