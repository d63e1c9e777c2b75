// `pageferry demo --guest qemu`: two processes, each with a QEMU of its own, and a Linux that moves between them. The command
// itself is Node's; its processes run on Node and on Deno here.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultFolder } from "../../bindings/guests/qemu/qemu-host.ts";
import { CommandProcess, gone } from "../processes/command-process.ts";
import { whyNoLinux } from "../qemu/linux.ts";
import { openPlatform, whyNoQemu } from "../qemu/stage.ts";

const test = suite("pageferry demo --guest qemu");
const { platform } = await openPlatform();
const noQemu = await whyNoQemu(platform);
const noLinux = await whyNoLinux(platform.files);
const FOLDER = defaultFolder(platform.files);

/** Names of what a process has in the folder of QEMUs. */
const heldBy = async (pid: number): Promise<readonly string[]> =>
	(await platform.files.names(FOLDER)).filter((name) => name.split("-")[1] === String(pid));

if (noQemu === undefined && noLinux === undefined) {
	for (const [from, to, technique] of [
		["node", "deno", "pre-copy"],
		["deno", "node", "stop-and-copy"],
	] as const)
		test(`a Linux moves from ${from} to ${to} by ${technique}; its programs go on, and nothing is left`, async () => {
			const folder = mkdtempSync(join(tmpdir(), "qemu-command-test-"));
			try {
				const json = join(folder, "result.json");
				const ways = ["--from", from, "--to", to, "--technique", technique, "--json", json];
				const command = new CommandProcess("demo", "--guest", "qemu", ...ways);
				const pids = [await command.hostPid("source"), await command.hostPid("target")];
				const end = await command.ended;
				assert.is(end.code, 0, end.errors + end.output);
				assert.match(end.output, /ok {3}oracle .* without a gap, \d+ after the move/);
				assert.match(end.output, /moved and verified\n$/);
				assert.not.match(end.errors, /cleared away/, "the processes clear up themselves");
				const result = JSON.parse(readFileSync(json, "utf8"));
				assert.is(result.metrics.technique, technique);
				assert.is(result.metrics.pageCount, 128 * 256);
				await gone(pids);
				for (const pid of pids) assert.equal(await heldBy(pid), []);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});

	test("killed while its Linux works, the command leaves no process, no QEMU and no memory", async () => {
		const command = new CommandProcess("demo", "--guest", "qemu", "--to", "deno", "--bandwidth", "2");
		const pids = [await command.hostPid("source"), await command.hostPid("target")];
		const qemu = Number((await command.says(/in QEMU (\d+)/))[1]);
		await command.says(/round 1, /);
		for (const pid of pids) assert.is((await heldBy(pid)).length, 1);
		command.kill("SIGKILL");
		await command.ended;
		await gone([...pids, qemu]);
		for (const pid of pids) assert.equal(await heldBy(pid), []);
	});

	test("interrupted, it says so, and leaves nothing", async () => {
		const command = new CommandProcess("demo", "--guest", "qemu", "--bandwidth", "2");
		const pids = [await command.hostPid("source"), await command.hostPid("target")];
		command.kill("SIGINT");
		const end = await command.ended;
		assert.is(end.code, 130, end.errors);
		await gone(pids);
		for (const pid of pids) assert.equal(await heldBy(pid), []);
	});
} else
	test("without QEMU or its Linux the command says what to do", async () => {
		console.log(`skipped: ${noQemu ?? noLinux}`);
		const end = await new CommandProcess("demo", "--guest", "qemu").ended;
		assert.is(end.code, 1);
		assert.match(end.errors, noLinux === undefined ? /apt install qemu-system-x86/ : /npm run guests/);
	});

test.run();
