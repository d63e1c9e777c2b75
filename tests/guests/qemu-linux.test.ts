// Linux under QEMU, moved while its programs work and while two machines hold one TCP connection.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, QemuGuestFactory } from "../../bindings/guests/qemu/index.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { capture } from "../../bindings/network/pcap.ts";
import { type SwitchPort, VirtualSwitch } from "../../bindings/network/switch.ts";
import { concat } from "../contract/suites/memory-stream.ts";
import { addressOf, bootLinux, linuxMachine, whyNoLinux } from "../qemu/linux.ts";
import { gapIn, JoinedConsole, moveTo } from "../qemu/moves.ts";
import { nextLine, openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: Linux");
const { platform } = await openPlatform();
const { clock } = platform;
const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

/** The numbers that a program has said on this console since it was opened. */
const said = (guest: QemuGuest, program: string): number[] =>
	guest.console.recent.flatMap((line) => new RegExp(`\\b${program} (\\d+)( ok)?$`).exec(line)?.[1] ?? []).map(Number);
const anything = (guest: QemuGuest, word: string): Promise<string> => nextLine(guest, (line) => line.includes(word));

/** Of each program that counts, by how much its number goes up from one line to the next. */
const STEPS = { count: 1, oracle: 50, md5: 1 } as const;

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after(() => stage.close());

	/** Moves a guest to a target at this port, which may be its own. */
	const moveToPort = async (
		port: SwitchPort,
		guest: QemuGuest,
		number: number,
		consoles: JoinedConsole,
	): Promise<QemuGuest> => {
		const machine = linuxMachine(number);
		const factory = await QemuGuestFactory.open(platform, { machine, folder: stage.folder, network: port.attach });
		const { result, target } = await moveTo(platform, consoles.hearing(factory), guest, preCopy);
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		return stage.keep(target!);
	};
	const assertNoGap = (numbers: readonly number[], what: string, step = 1): void => {
		assert.ok(numbers.length > 1, what);
		assert.is(gapIn(numbers, step), undefined, what);
	};
	/** Nothing of what a machine said over all of its moves is missing, and no program has found a wrong byte. */
	const assertWhole = (consoles: JoinedConsole): void => {
		for (const [program, step] of Object.entries(STEPS))
			assertNoGap(consoles.numbers(new RegExp(`^${program} (\\d+)\\b`)), program, step);
		for (const line of consoles.lines) assert.not.match(line, /BAD|BROKEN|panic|Oops/);
	};
	/** The client has heard so many more answers than by now. */
	const more = async (client: QemuGuest, answers: number): Promise<void> => {
		const at = said(client, "wire").at(-1) ?? 0;
		await nextLine(client, (line) => Number(/wire (\d+)$/.exec(line)?.[1] ?? 0) > at + answers);
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
		const [serverConsoles, clientConsoles] = [new JoinedConsole(), new JoinedConsole()];
		serverConsoles.follow(server);
		clientConsoles.follow(client);
		/** Every program of the server's has said something since. */
		const works = () => Promise.all(["oracle ", "md5 ", "count "].map((word) => anything(server, word)));
		// A prompt would stand before a line.
		await server.console.write("PS1=; wire serve 9000 & oracle 4 50 & md5loop & counter 20 &\n");
		await works();
		await client.console.write("ping -c 3 -i 0.2 -W 10 10.0.0.1\n");
		await anything(client, " 3 packets received");
		await client.console.write("PS1=; wire dial 10.0.0.1 9000 5 &\n");
		await anything(client, "wire 3");

		const second = network.addPort("server 2");
		server = await moveToPort(second, server, 1, serverConsoles);
		await works();
		assert.is(network.portOf(addressOf(1))?.name, "server 2", "it is found where it is now");
		assert.ok(announced.has("server 2"), "it has announced itself, by RARP");
		await more(client, 20);
		client = await moveToPort(network.addPort("client 2"), client, 2, clientConsoles);
		await anything(client, "wire ");
		server = await moveToPort(second, server, 1, serverConsoles);
		await works();
		await more(client, 20);
		server = await moveToPort(network.addPort("server 4"), server, 1, serverConsoles);
		await works();
		await more(client, 20);
		assertWhole(serverConsoles);
		assertNoGap(clientConsoles.numbers(/^wire (\d+)$/), "wire");
		for (const line of clientConsoles.lines) assert.not.match(line, /BAD|BROKEN|panic|Oops/);
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
