// Linux under QEMU, moved while its programs work and while two machines hold one TCP connection.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, QemuGuestFactory } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { capture } from "../../bindings/network/pcap.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import { concat } from "../contract/suites/memory-stream.ts";
import { addressOf, bootLinux, linuxMachine, whyNoLinux } from "../qemu/linux.ts";
import { nextLine, openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: Linux");
const { platform } = await openPlatform();
const { clock, random } = platform;
const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

/** The numbers that a program has said on this console since it was opened. */
const said = (guest: QemuGuest, program: string): number[] =>
	guest.console.recent.flatMap((line) => new RegExp(`\\b${program} (\\d+)( ok)?$`).exec(line)?.[1] ?? []).map(Number);
const anything = (guest: QemuGuest, word: string): Promise<string> => nextLine(guest, (line) => line.includes(word));

/** Numbers that go up by one. */
function assertNoGap(numbers: readonly number[], what: string): void {
	for (let i = 1; i < numbers.length; i++) assert.is(numbers[i], numbers[i - 1]! + 1, what);
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after(() => stage.close());

	/** Moves a guest to another port of the network. */
	const moveTo = async (network: VirtualSwitch, guest: QemuGuest, number: number, name: string): Promise<QemuGuest> => {
		const port = network.addPort(name);
		const factory = await QemuGuestFactory.open(platform, {
			...{ machine: linuxMachine(number), folder: stage.folder, network: port.attach },
		});
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const result = await preCopy({ guest, link: near, clock, random });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		const received = await receiving;
		assert.is(received.outcome, "running");
		// allowed (cast): the only factory is QEMU's
		if (received.outcome === "running") return stage.keep(received.guest as QemuGuest);
		throw new RangeError("not received");
	};

	test("two machines keep one TCP connection while both move; their programs go on without a gap", async () => {
		const network = new VirtualSwitch(clock);
		const recorded: Uint8Array[] = [];
		const stop = capture(network, (bytes) => recorded.push(bytes), 1_700_000_000_000);
		const announced = new Set<string>();
		network.tap(({ frame, from }) => {
			if (frame[12] === 0x80 && frame[13] === 0x35) announced.add(from);
		});
		let [server, client] = await Promise.all([
			bootLinux(stage, linuxMachine(1), network.addPort("server")),
			bootLinux(stage, linuxMachine(2), network.addPort("client")),
		]);
		await server.console.write("wire serve 9000 &\n oracle 4 50 &\n md5loop &\n counter 20 &\n");
		for (const word of ["oracle ", "md5 ", "count "]) await anything(server, word);
		await client.console.write("ping -c 3 -i 0.2 -W 10 10.0.0.1\n");
		await anything(client, " 3 packets received");
		await client.console.write("wire dial 10.0.0.1 9000 5 &\n");
		await anything(client, "wire 3");

		const first = await moveTo(network, server, 1, "server 2");
		const before = said(server, "count");
		for (const word of ["oracle ", "md5 ", "count "]) await anything(first, word);
		// The line that was being said at the pause may be cut between the two consoles.
		const join = said(first, "count")[0]! - before.at(-1)!;
		assert.ok(join === 1 || join === 2, `${before.at(-1)} then ${said(first, "count")[0]}`);
		assertNoGap(said(first, "count"), "counter");
		assert.is(network.portOf(addressOf(1))?.name, "server 2", "it is found where it is now");
		assert.ok(announced.has("server 2"), "it has announced itself, by RARP");

		const at = said(client, "wire").at(-1)!;
		await nextLine(client, (line) => Number(/wire (\d+)$/.exec(line)?.[1] ?? 0) > at + 20);
		assertNoGap(said(client, "wire"), "wire");
		client = await moveTo(network, client, 2, "client 2");
		await anything(client, "wire ");
		server = await moveTo(network, first, 1, "server 3");
		const later = said(client, "wire").at(-1)!;
		await nextLine(client, (line) => Number(/wire (\d+)$/.exec(line)?.[1] ?? 0) > later + 20);
		server = await moveTo(network, server, 1, "server 4");
		for (const word of ["oracle ", "md5 ", "count "]) await anything(server, word);
		const last = said(client, "wire").at(-1)!;
		await nextLine(client, (line) => Number(/wire (\d+)$/.exec(line)?.[1] ?? 0) > last + 20);
		for (const guest of [server, client]) for (const line of guest.console.recent) assert.not.match(line, /BAD|BROKEN/);
		assertNoGap(said(client, "wire"), "wire");
		stop();
		await readCapture(recorded);
		assert.equal(await stage.clear(), [], "nothing is left");
	});

	/** What Wireshark says of a capture, a line for each packet that the filter takes. */
	const dissect = async (path: string, filter: string, ...fields: readonly string[]): Promise<readonly string[]> => {
		const args = ["-n", "-r", path, "-Y", filter, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
		const tshark = await platform.processes.start({ executable: "tshark", args });
		const lines: string[] = [];
		for await (const line of tshark.lines) lines.push(line);
		assert.is((await tshark.ended).code, 0, tshark.errorText());
		return lines;
	};

	/** Wireshark finds every frame in the capture, none that is malformed, the pings, and one connection. */
	const readCapture = async (recorded: readonly Uint8Array[]): Promise<void> => {
		const path = `${stage.folder}-images/network.pcap`;
		await platform.files.write(path, concat(recorded));
		let all: readonly string[];
		try {
			all = await dissect(path, "frame", "frame.number", "frame.time_epoch", "_ws.malformed");
		} catch (error) {
			if (!(error instanceof Error) || !("code" in error) || error.code !== "not-started") throw error;
			console.log("skipped: reading the capture: there is no tshark here (Debian: apt install tshark)");
			return;
		}
		assert.is(all.length, recorded.length - 1, "a record for each frame, behind the header");
		assert.equal(await dissect(path, "_ws.malformed || frame.len != frame.cap_len", "frame.number"), []);
		for (const line of all) assert.match(line, /^\d+\t17000\d{5}\.\d+\t$/, "a time of the clock that was given");
		const echoes = await dissect(path, "icmp", "icmp.type", "icmp.seq");
		assert.equal(new Set(echoes), new Set(["8\t0", "0\t0", "8\t1", "0\t1", "8\t2", "0\t2"]));
		const made = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == 9000";
		assert.is(new Set(await dissect(path, made, "tcp.srcport")).size, 1, "one connection, for ever");
		assert.is(new Set(await dissect(path, "tcp", "tcp.stream")).size, 1);
		assert.ok((await dissect(path, "tcp.len > 0", "frame.number")).length > 100);
		assert.ok((await dissect(path, "arp.opcode == 3", "arp.src.hw_mac")).includes(addressOf(1)), "announcements");
	};
} else
	test("there is no Linux under QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
