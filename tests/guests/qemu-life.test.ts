import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	probeAccelerator,
	type QemuGuest,
	startQemuGuest,
	startUserNetwork,
	sweepInstances,
} from "../../bindings/guests/qemu/index.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import { freePorts } from "../qemu/free-ports.ts";
import { guestProgram } from "../qemu/programs.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: from start to end");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder, machine } = stage;
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());
	const isAlive = async (pid: number): Promise<boolean> =>
		((await platform.files.read(`/proc/${pid}/cmdline`))?.byteLength ?? 0) > 0;
	const firstPage = (guest: QemuGuest) => guest.pages.encode(Uint32Array.of(0), { compress: false });

	test("a machine boots, is paused and runs on; discarded, its process is gone", async () => {
		const guest = await stage.startCounter();
		await guest.pause({ deadlineMs: 10_000 });
		const before = guest.console.recent.at(-1)!;
		await guest.pause({ deadlineMs: 10_000 });
		const running = nextLine(guest, (line) => line > before);
		await guest.resume();
		await running;
		assert.ok(await isAlive(guest.pid));
		await guest.discard();
		await guest.discard();
		assert.not.ok(await isAlive(guest.pid));
		assert.is((await rejection(guest.pause({ deadlineMs: 1000 }))).code, "gone");
		assert.is((await rejection(firstPage(guest))).code, "gone");
		assert.is((await rejection(guest.execute("query-status"))).code, "gone");
	});

	test("a QEMU that is not installed, and a kernel that is not there, say what to do", async () => {
		const executable = "qemu-system-of-nowhere";
		const absent = await rejection(startQemuGuest(platform, { machine, folder, executable }));
		assert.is(absent.code, "not-installed");
		assert.match(absent.message, /apt install qemu-system-x86/);
		const kernelless = { memoryMiB: 16, boot: { kernel: `${folder}/no-such-kernel` } };
		const lost = await rejection(startQemuGuest(platform, { machine: kernelless, folder }));
		assert.is(lost.code, "no-file");
		assert.match(lost.message, /no-such-kernel/);
	});

	test("a QEMU that cannot start shows its own words, and leaves nothing", async () => {
		const wrong = { ...machine, type: "machine-of-nowhere" };
		const { code, message } = await rejection(startQemuGuest(platform, { machine: wrong, folder }));
		assert.is(code, "exited");
		assert.match(message, /machine-of-nowhere|unsupported machine type/);
		assert.equal(await platform.files.names(folder), []);
	});

	test("a machine that does not boot is ended, and its last words are in the error", async () => {
		const blank = `${folder}-images/blank.img`;
		await platform.files.write(blank, new Uint8Array(1_474_560));
		const start = startQemuGuest(platform, {
			...{ machine: { memoryMiB: 16, boot: { floppy: blank } }, folder },
			...{ booted: () => false, bootMs: 300 },
		});
		const { code, message } = await rejection(start);
		assert.is(code, "not-booted");
		assert.match(message, /within 300 ms/);
		assert.equal(await platform.files.names(folder), []);
	});

	test("commands that QEMU refuses come back with its words, and the guest lives on", async () => {
		const guest = await stage.startCounter();
		const { code, message } = await rejection(guest.execute("no-such-command"));
		assert.is(code, "command");
		assert.match(message, /no-such-command/);
		await nextLine(guest, (line) => line > "00000005");
	});

	for (const when of ["running", "paused", "harvesting", "saving"] as const)
		test(`a QEMU that dies while it is ${when} makes every call fail, and is cleared away`, async () => {
			const guest = await stage.startCounter();
			const cursor = await guest.dirty.open();
			if (when === "paused" || when === "saving") await guest.pause({ deadlineMs: 10_000 });
			const harvest = when === "harvesting" ? cursor.harvest() : undefined;
			harvest?.catch(() => undefined); // it may come too late to be interrupted
			platform.files.kill(guest.pid);
			if (when === "saving") {
				const state = await guest.state.capture().then(
					() => "saved before", // it takes 2 ms
					({ code }: { readonly code: unknown }) => code,
				);
				assert.ok(["gone", "state", "saved before"].includes(String(state)), String(state));
			}
			const error = await guest.ended;
			assert.is(error.code, "crashed");
			assert.match(error.message, /SIGKILL/);
			await harvest?.catch(() => undefined); // see above
			assert.is((await rejection(firstPage(guest))).code, "gone");
			assert.is((await rejection(guest.pause({ deadlineMs: 1000 }))).code, "gone");
			assert.is((await rejection(guest.resume())).code, "gone");
			await guest.discard();
			assert.equal(await platform.files.names(folder), []);
		});

	test("an accelerator is what a machine has booted with: software always, KVM where it does", async () => {
		assert.is(await probeAccelerator(platform, "tcg", { folder }), true);
		// Whether a whole machine does as well as the probe is not for this test: some systems boot one and lose the other.
		if (await probeAccelerator(platform, "kvm", { folder })) return console.log("skipped: KVM boots a machine here");
		const start = startQemuGuest(platform, { machine, folder, accelerator: "kvm" });
		assert.is((await rejection(start)).code, "no-accelerator");
	});

	test("real clients reach a network through the host's, and it leaves nothing", async () => {
		const network = new VirtualSwitch(platform.clock);
		const seen: string[] = [];
		network.tap(({ frame, from }) => seen.push(`${from} ${frame[12]! * 256 + frame[13]!}`));
		const [hostPort = 0] = await freePorts(platform, 1);
		const port = network.addPort("uplink");
		const forwards = [{ hostPort, guestIp: "10.0.0.1", guestPort: 80 }];
		const uplink = await startUserNetwork(platform, port.attach, { folder, forwards });
		const asked = new Promise<void>((resolve) => network.tap(() => resolve()));
		const client = await platform.connect({ transport: "tcp", host: "127.0.0.1", port: hostPort });
		await asked;
		assert.ok(seen.includes("uplink 2054"), "ARP: who has 10.0.0.1?");
		client.abort("done");
		const taken = await rejection(startUserNetwork(platform, network.addPort("second").attach, { folder, forwards }));
		assert.is(taken.code, "exited", "the port is taken");
		assert.match(taken.message, String(hostPort));
		await uplink.close();
		await uplink.close();
		assert.equal(await platform.files.names(folder), []);
	});

	test("a network that cannot listen leaves no folder", async () => {
		const deep = `${folder}/${"d".repeat(60)}`;
		await platform.files.makePrivateFolder(folder);
		const network = new VirtualSwitch(platform.clock);
		const error = await rejection(startUserNetwork(platform, network.addPort("uplink").attach, { folder: deep }));
		assert.is(error.code, "refused", "the socket's path is too long");
		assert.equal(await platform.files.names(deep), []);
		await platform.files.removeTree(deep);
	});

	test("what a killed owner has left is ended and removed; what lives is not touched", async () => {
		const owner = await platform.processes.start(guestProgram("qemu-owner"));
		const lines = owner.lines[Symbol.asyncIterator]();
		const { value } = await lines.next();
		const left = JSON.parse(String(value)) as { readonly folder: string; readonly pid: number };
		try {
			assert.is(await sweepInstances(platform.files, left.folder), 0, "its owner lives");
			assert.ok(await isAlive(left.pid));
			owner.kill("SIGKILL");
			await owner.ended;
			assert.ok(await isAlive(left.pid), "QEMU does not end with its owner");
			assert.is(await sweepInstances(platform.files, left.folder), 1);
			assert.not.ok(await isAlive(left.pid));
			assert.equal(await platform.files.names(left.folder), []);
		} finally {
			owner.kill("SIGKILL");
			await platform.files.removeTree(left.folder);
			await platform.files.removeTree(`${left.folder}-images`);
		}
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
