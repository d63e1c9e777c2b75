// Post-copy and hybrid between real processes: the guest runs at the target before its pages have come, and a link that is
// lost meanwhile costs nothing but time. The targets run on Deno, which has what waiting for pages needs on every machine
// that can run the suite.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { CommandProcess, gone } from "./command-process.ts";
import { FrameProxy } from "./frame-proxy.ts";
import { nextEvent, Stage } from "./stage.ts";

const test = suite("post-copy between processes");

/** This Node as a target too, where it can wait for pages. */
const WAYS = [
	{ from: "node", to: "deno" },
	{ from: "deno", to: "deno" },
	...(supportsInstrumentation() ? ([{ from: "deno", to: "node" }] as const) : []),
] as const;

for (const technique of ["post-copy", "hybrid"] as const)
	for (const { from, to } of WAYS)
		test(`${technique} from ${from} to ${to}: answers, final state and exactly once, all as undisturbed`, async () => {
			const { stage, source, target, door } = await Stage.open({ from, to });
			try {
				const report = await stage.move(source, target, door, { technique });
				assert.is(report.outcome, "moved", report.failure?.message);
				const { paging, resumeMs, totalMs, preparationMs, downtimeMs } = report.metrics;
				assert.ok(paging !== undefined && paging.owedPages > 0);
				assert.is(paging.networkFaults + paging.pushedPages, paging.owedPages);
				assert.is(paging.recoveries, 0);
				assert.is(totalMs, preparationMs + downtimeMs + resumeMs);
				await stage.expectUndisturbed(target);
			} finally {
				await stage.dispose();
			}
		});

test("the link is cut while pages follow: interrupted; recovered over another one, and nothing is lost", async () => {
	const { stage, source, target, door } = await Stage.open({ from: "node", to: "deno" });
	try {
		const proxy = await FrameProxy.open(door, { from: "source", record: "batch", nth: 5, act: "cut-before" });
		stage.later(() => proxy.close());
		const paged = nextEvent(target, "paged");
		const report = await stage.move(source, target, proxy.address, { technique: "post-copy" });
		assert.is(report.outcome, "interrupted", report.failure?.message);
		assert.ok(report.recoverable);
		const interrupted = await paged;
		assert.is(interrupted.outcome, "interrupted");
		assert.ok(interrupted.missingPages > 0);
		const clients = target.hello.clients;
		const complete = nextEvent(target, "paged");
		const recovered = await source.order("recover", { moveId: report.moveId, target: door, clients });
		assert.is(recovered.outcome, "moved", recovered.failure?.message);
		assert.is(recovered.metrics.paging?.recoveries, 1);
		assert.is((await complete).outcome, "complete");
		await stage.expectUndisturbed(target);
	} finally {
		await stage.dispose();
	}
});

const SLOW = [
	"--technique",
	"post-copy",
	"--push",
	"demand",
	"--to",
	"deno",
	"--memory",
	"16",
	"--load",
	"400",
	"--requests",
	"400",
];

for (const { victim, says } of [
	{ victim: "source", says: /the source process ended by SIGKILL.*\d+ pages of it are lost/ },
	{ victim: "target", says: /the target process ended by SIGKILL.*what the guest did at the target is lost/ },
] as const)
	test(`the ${victim} is killed while pages follow: the command says what is lost; exit code 1`, async () => {
		const command = new CommandProcess("demo", ...SLOW);
		const pids = [await command.hostPid("source"), await command.hostPid("target")];
		const [sourcePid, targetPid] = pids as [number, number];
		await command.says(/paging/);
		process.kill(victim === "source" ? sourcePid : targetPid, "SIGKILL");
		const end = await command.ended;
		assert.is(end.code, 1, end.errors + end.output);
		assert.match(end.errors, says);
		await gone(pids);
	});

test("the target is killed while pages follow with checkpoints: the guest goes on at the source, and every answer stands", async () => {
	const command = new CommandProcess("demo", ...SLOW, "--checkpoints");
	const pids = [await command.hostPid("source"), await command.hostPid("target")];
	await command.says(/paging/);
	process.kill(pids[1]!, "SIGKILL");
	const end = await command.ended;
	const said = end.errors + end.output;
	assert.is(end.code, 1, said); // not moved
	assert.match(said, /the target process ended by SIGKILL.*the source takes the guest back/);
	assert.match(said, /revived from checkpoint \d+/);
	assert.match(said, /ok {3}answers/);
	assert.match(said, /ok {3}final state/);
	assert.match(said, /ok {3}exactly once/);
	assert.match(said, /not moved: the target died, and the guest runs on at the source/);
	await gone(pids);
});

/** Frames at which the target dies: of a checkpoint on its way, and of the word that the source has it. */
const DEATHS = [
	{ from: "target", record: "epoch", nth: 1 },
	{ from: "target", record: "state", nth: 2 },
	{ from: "target", record: "checkpoint", nth: 3 },
	{ from: "source", record: "committed", nth: 4 },
	{ from: "source", record: "committed", nth: 12 },
] as const;

for (const death of DEATHS)
	test(`the target is killed at '${death.record}' ${death.nth} of the ${death.from}: nothing that was answered is lost`, async () => {
		const { stage, source, target, door } = await Stage.open({ from: "node", to: "deno" });
		try {
			const proxy = await FrameProxy.open(door, { ...death, act: "hold" });
			stage.later(() => proxy.close());
			const order = { technique: "post-copy", push: demandPaging(), checkpoints: true } as const;
			const moving = stage.move(source, target, proxy.address, order);
			await proxy.metDuring(moving);
			process.kill(target.pid, "SIGKILL");
			await target.ended;
			proxy.cut();
			const report = await moving;
			assert.is(report.outcome, "interrupted", report.failure?.message);
			const revived = await source.order("revive", { moveId: report.moveId, clients: target.hello.clients });
			assert.is(revived.outcome, "revived", revived.failure?.message);
			assert.ok(revived.epoch! >= (death.record === "committed" ? death.nth : 0));
			await stage.client.follow(source.hello.clients);
			await stage.expectUndisturbed(source);
		} finally {
			await stage.dispose();
		}
	});

test("a target without a second memory is refused before anything moves, with what to do", async () => {
	const end = await new CommandProcess("demo", "--technique", "post-copy", "--memory", "1", "--requests", "40").ended;
	if (supportsInstrumentation()) return assert.is(end.code, 0, end.errors + end.output);
	assert.is(end.code, 1);
	assert.match(end.errors, /no second WebAssembly memory.*Node 22 or later, or use --to deno/);
});

test.run();
