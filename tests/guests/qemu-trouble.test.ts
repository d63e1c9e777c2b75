// Owners and QEMUs that misbehave: listeners that throw, a folder that is too small, a factory closed while it works.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, startQemuGuest, sweepInstances } from "../../bindings/guests/qemu/index.ts";
import { makeInstanceFolder } from "../../bindings/guests/qemu/instance-folder.ts";
import { defaultFolder } from "../../bindings/guests/qemu/qemu-host.ts";
import type { HostFiles } from "../../bindings/ports/host-files.ts";
import { guestProgram } from "../qemu/programs.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: owners and QEMUs that misbehave");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);

/** Processes whose command line names a path. */
async function usersOf(files: HostFiles, path: string): Promise<readonly string[]> {
	const found: string[] = [];
	for (const name of await files.names("/proc")) {
		const line = /^\d+$/.test(name) ? await files.read(`/proc/${name}/cmdline`) : undefined;
		if (line !== undefined && new TextDecoder().decode(line).includes(path)) found.push(name);
	}
	return found;
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder, machine } = stage;
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());
	const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);
	const start = async (onListenerError: (error: unknown) => void): Promise<QemuGuest> =>
		stage.keep(await startQemuGuest(platform, { machine, folder, onListenerError, booted: isCount }));

	test("what listeners throw is told to the owner; the guest runs on, and the others hear every line and event", async () => {
		const thrown: unknown[] = [];
		const guest = await start((error) => thrown.push(error));
		const problems = [new Error("line"), new Error("text"), new Error("event")] as const;
		const lines: string[] = [];
		const events: string[] = [];
		const fail = (error: Error) => () => {
			throw error;
		};
		guest.console.onLine(fail(problems[0]));
		guest.console.onText(fail(problems[1]));
		guest.onEvent(fail(problems[2]));
		guest.console.onLine((line) => lines.push(line));
		guest.onEvent((name) => events.push(name));
		for (let i = 0; i < 3; i++) await nextLine(guest, isCount);
		await guest.pause({ deadlineMs: 10_000 });
		await guest.state.capture();
		await guest.resume();
		await nextLine(guest, isCount);
		const counts = lines.filter(isCount).map((line) => Number.parseInt(line, 16));
		assert.ok(counts.length >= 4);
		for (let i = 1; i < counts.length; i++) assert.is(counts[i], counts[i - 1]! + 1, "no line is lost");
		for (const event of ["STOP", "RESUME", "MIGRATION"]) assert.ok(events.includes(event), event);
		for (const problem of problems) assert.ok(thrown.includes(problem), problem.message);
	});

	test("a `booted` that throws is the start's own failure", async () => {
		const booted = () => {
			throw new RangeError("what is up?");
		};
		const error = await rejection(startQemuGuest(platform, { machine, folder, booted }));
		assert.match(error.message, /what is up/);
		assert.equal(await platform.files.names(folder), []);
	});

	test("a folder that is smaller than the machine's memory is refused with what to do, and nothing is left", async () => {
		const files: HostFiles = { ...platform.files, freeBytes: () => Promise.resolve(5 * 2 ** 20) };
		const error = await rejection(startQemuGuest({ ...platform, files }, { machine, folder, booted: isCount }));
		assert.is(error.code, "no-room");
		assert.match(error.message, /takes \d+ MiB, and there are 5 MiB for .*--shm-size/);
		assert.equal(await platform.files.names(folder), []);
		assert.ok(((await platform.files.freeBytes(folder)) ?? 0) > 2 ** 20);
	});

	test("a factory that is closed while it starts standbys ends them too", async () => {
		const factory = await stage.factory();
		const preparing = rejection(factory.prepareStandbys(2));
		while ((await platform.files.names(folder)).length === 0) await platform.clock.sleep(1);
		await factory.close();
		assert.equal(await platform.files.names(folder), []);
		assert.is((await preparing).code, "gone");
		assert.is(factory.standbys, 0);
		await factory.prepareStandbys(1);
		assert.is(factory.standbys, 1, "it can be used again");
	});

	test("each user of a machine has a folder of its own for what is not placed elsewhere", async () => {
		const { files } = platform;
		assert.ok(defaultFolder(files).endsWith(`-${files.userId}`));
		assert.is.not(defaultFolder(files), defaultFolder({ ...files, userId: (files.userId ?? 0) + 1 }));
		const guest = stage.keep(await startQemuGuest(platform, { machine }));
		assert.ok(guest.ramPath.startsWith(`${defaultFolder(files)}/`), guest.ramPath);
	});

	test("an owner that is killed while it starts a machine leaves nothing to the next", async () => {
		const { files, processes, clock, random } = platform;
		const seed = random.nextU32();
		for (let time = 0; time < 4; time++) {
			const owner = await processes.start(guestProgram("qemu-owner"));
			const roots = async () =>
				(await files.names("/dev/shm")).filter((name) => name.startsWith(`pageferry-test-${owner.pid}-`));
			// Its images come first, then QEMU's own folder, QEMU, and what it says.
			while ((await roots()).length === 0) await clock.sleep(5);
			const afterMs = (seed >>> (time * 8)) % 256;
			await clock.sleep(afterMs);
			owner.kill("SIGKILL");
			await owner.ended;
			for (const root of await roots()) {
				await sweepInstances(files, `/dev/shm/${root}`);
				const what = `killed ${afterMs} ms after its first folder`;
				if (!root.endsWith("-images")) assert.equal(await files.names(`/dev/shm/${root}`), [], what);
				assert.equal(await usersOf(files, `/dev/shm/${root}/`), [], what);
				await files.removeTree(`/dev/shm/${root}`);
			}
		}
	});

	test("standbys asked for twice at once are not started twice", async () => {
		const factory = await stage.factory();
		await Promise.all([factory.prepareStandbys(1), factory.prepareStandbys(1)]);
		assert.is(factory.standbys, 1);
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test("a sweep that fails is done again by the next start", async () => {
	const { files, random } = platform;
	const root = `/tmp/pageferry-test-sweep-${files.pid}-${random.nextU32().toString(36)}`;
	let failing = true;
	const flaky = new Proxy(files, {
		get(target, name: keyof HostFiles) {
			if (name === "names" && failing) return () => Promise.reject(new Error("a bad moment"));
			return target[name];
		},
	});
	try {
		assert.match((await rejection(makeInstanceFolder(flaky, random, root))).message, /a bad moment/);
		failing = false;
		const path = await makeInstanceFolder(flaky, random, root);
		assert.ok(path.startsWith(root));
	} finally {
		await files.removeTree(root);
	}
});

test("a process that cannot be ended keeps its folder until the next sweep, and holds nobody up", async () => {
	const { files, random } = platform;
	const root = `/tmp/pageferry-test-sweep-${files.pid}-${random.nextU32().toString(36)}`;
	const namespace = /\d+/.exec((await files.readLink("/proc/self/ns/pid")) ?? "")?.[0] ?? "0";
	const folder = `${root}/${namespace}-999999998-1-a`;
	const text: Record<string, string> = {
		"/proc/999999999/cmdline": `qemu\0-no-user-config\0${folder}/ram`,
		"/proc/999999999/stat": `999999999 (qemu) D ${"0 ".repeat(18)}77 0`,
	};
	let isHeld = true;
	const killed: number[] = [];
	const holding: HostFiles = {
		...files,
		kill: (pid) => void killed.push(pid),
		names: async (path) => (path === "/proc" ? (isHeld ? ["self", "999999999"] : ["self"]) : files.names(path)),
		read: async (path) => (path in text ? new TextEncoder().encode(text[path]) : files.read(path)),
	};
	try {
		await files.makePrivateFolder(root);
		await files.makePrivateFolder(folder);
		assert.is(await sweepInstances(holding, root), 0);
		assert.equal(killed, [999999999]);
		assert.is((await files.names(root)).length, 1);
		isHeld = false;
		assert.is(await sweepInstances(holding, root), 1);
		assert.equal(await files.names(root), []);
	} finally {
		await files.removeTree(root);
	}
});

test.run();
