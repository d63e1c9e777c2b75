// The pageferry command: what it says, its exit codes, and that it leaves nothing behind whatever happens to it.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CommandProcess, gone } from "./command-process.ts";

const test = suite("the pageferry command");

/** A move that takes seconds: long enough for whatever happens in its middle. */
const SLOW = ["--memory", "64", "--bandwidth", "10", "--requests", "400", "--load", "400"];
const QUICK = ["--memory", "8", "--requests", "400", "--load", "400"];

const sockets = () => readdirSync(tmpdir()).filter((name) => /^pageferry-\d+-\w+\.sock$/.test(name));

const USAGES: readonly { readonly args: readonly string[]; readonly code: number; readonly says: RegExp }[] = [
	{ args: ["--version"], code: 0, says: /^\d+\.\d+\.\d+\n$/ },
	{ args: ["--help"], code: 0, says: /--technique pre-copy\|stop-and-copy\|post-copy\|hybrid/ },
	{ args: ["demo", "--help"], code: 0, says: /--technique/ },
	{ args: [], code: 2, says: /pageferry demo/ },
	{ args: ["move"], code: 2, says: /unknown command: move/ },
	{
		args: ["demo", "--technique", "teleport"],
		code: 2,
		says: /--technique teleport: unknown; use pre-copy or stop-and-copy or post-copy or hybrid/,
	},
	{ args: ["demo", "--push", "turns"], code: 2, says: /pre-copy leaves no pages to push/ },
	{ args: ["lab", "XY-1"], code: 2, says: /XY-1: no such id; there are / },
	{ args: ["lab", "--speed", "9"], code: 2, says: /Unknown option '--speed'/ },
	{ args: ["guests"], code: 2, says: /unknown command: guests/ },
	{ args: ["demo", "--speed", "9"], code: 2, says: /Unknown option '--speed'/ },
	{ args: ["demo", "sqlite"], code: 2, says: /Unexpected argument 'sqlite'/ },
	{ args: ["demo", "--memory", "many"], code: 2, says: /--memory many: must be a whole number from 0 to \d+/ },
	{ args: ["demo", "--memory=-1"], code: 2, says: /--memory -1: must be a whole number/ },
	{ args: ["demo", "--bandwidth", "0"], code: 2, says: /--bandwidth 0: must be a number of MB\/s above 0/ },
	{ args: ["demo", "--from", "bun"], code: 2, says: /--from bun: unknown; use node or deno/ },
	{
		args: ["demo", "--guest", "qemu", "--technique", "post-copy"],
		code: 2,
		says: /qemu --technique post-copy: .*cannot wait/,
	},
	{ args: ["demo", "--guest", "pdp11"], code: 2, says: /--guest pdp11: with --guest use v86 or qemu/ },
	{ args: ["demo", "--program", "doom"], code: 2, says: /--program doom: unknown; use sqlite or quickjs or lua/ },
];

for (const { args, code, says } of USAGES)
	test(`pageferry ${args.join(" ")}: exit code ${code}`, async () => {
		const end = await new CommandProcess(...args).ended;
		assert.is(end.code, code, end.errors);
		assert.match(end.output + end.errors, says);
	});

for (const program of ["sqlite", "quickjs", "lua"])
	test(`${program} moves, and the result is verified`, async () => {
		const end = await new CommandProcess("demo", "--program", program, ...QUICK).ended;
		assert.is(end.code, 0, end.errors + end.output);
		assert.match(end.output, /moved and verified\n$/);
	});

test("from Deno to Deno, over a unix-domain socket, as fast as answers come; all figures as JSON", async () => {
	const folder = mkdtempSync(join(tmpdir(), "command-test-"));
	try {
		const file = join(folder, "result.json");
		const runtimes = ["--from", "deno", "--to", "deno", "--link", "unix"];
		const pace = ["--memory", "8", "--load", "0", "--requests", "1000", "--verification", "transport"];
		const end = await new CommandProcess("demo", ...runtimes, ...pace, "--json", file).ended;
		assert.is(end.code, 0, end.errors + end.output);
		const result = JSON.parse(readFileSync(file, "utf8"));
		assert.is(result.verified, true);
		assert.is(result.outcome, "moved");
		assert.is(result.options.program, "sqlite");
		assert.is(result.metrics.technique, "pre-copy");
		assert.is(result.metrics.verification, "transport");
		assert.ok(result.metrics.rounds.length >= 2);
		const { preparationMs, downtimeMs, resumeMs, totalMs } = result.metrics;
		assert.ok(Math.abs(preparationMs + downtimeMs + resumeMs - totalMs) < 0.001);
		assert.ok(result.client.answers >= 1000);
		assert.ok(result.client.longestGapInMoveMs > 0);
		assert.equal(sockets(), []);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

test("a target that dies: the guest is kept, the report says who ended and how; exit code 1", async () => {
	const command = new CommandProcess("demo", ...SLOW);
	const target = await command.hostPid("target");
	await command.says(/moving .*round 1/);
	process.kill(target, "SIGKILL");
	const end = await command.ended;
	assert.is(end.code, 1, end.errors + end.output);
	assert.match(end.output, /the target process ended by SIGKILL/);
	assert.match(end.output, /FAIL move +kept/);
	assert.match(end.output, /ok +answers/);
	await gone([await command.hostPid("source")]);
});

test("a source that dies: its guest is gone, the target has discarded; exit code 1", async () => {
	const command = new CommandProcess("demo", ...SLOW);
	const source = await command.hostPid("source");
	await command.says(/moving .*round 1/);
	process.kill(source, "SIGKILL");
	const end = await command.ended;
	assert.is(end.code, 1, end.errors + end.output);
	assert.match(end.errors, /the source process ended by SIGKILL, and its guest with it/);
	await gone([await command.hostPid("target")]);
});

const INTERRUPTIONS = [
	{ signal: "SIGINT", code: 130 },
	{ signal: "SIGTERM", code: 143 },
] as const;
for (const { signal, code } of INTERRUPTIONS)
	for (const moment of [/source .*process/, /requests answered/, /moving .*round 1/])
		test(`${signal} after ${moment}: exit code ${code}, and nothing is left behind`, async () => {
			const command = new CommandProcess("demo", ...SLOW, "--link", "unix");
			await command.says(moment);
			command.kill(signal);
			const end = await command.ended;
			assert.is(end.code, code, end.errors + end.output);
			const pids = [...end.errors.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid));
			assert.ok(pids.length > 0);
			await gone(pids);
			assert.equal(sockets(), []);
		});

test("a command that is killed takes its processes along", async () => {
	const command = new CommandProcess("demo", ...SLOW, "--link", "unix");
	const pids = [await command.hostPid("source"), await command.hostPid("target")];
	await command.says(/moving .*round 1/);
	command.kill("SIGKILL");
	await command.ended;
	await gone(pids);
	assert.equal(sockets(), []);
});

test.run();
