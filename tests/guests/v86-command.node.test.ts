// `pageferry demo --guest v86`: a Linux moves between two processes by every technique. The command itself is Node's; its
// processes run on Node and on Deno here.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86_READY } from "../../bindings/cli/v86-side.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { CommandProcess, gone } from "../processes/command-process.ts";

const test = suite("pageferry demo --guest v86");
const isReady = (await nodePlatform().files.read(`${V86_READY}/manifest.json`)) !== undefined;

if (isReady) {
	for (const [from, to, technique, push] of [
		["node", "deno", "pre-copy", undefined],
		["deno", "node", "post-copy", "demand"],
		["node", "node", "hybrid", "turns"],
	] as const)
		test(`a Linux moves from ${from} to ${to} by ${technique}${push === undefined ? "" : `, ${push}`}`, async () => {
			const folder = mkdtempSync(join(tmpdir(), "v86-command-test-"));
			try {
				const json = join(folder, "result.json");
				const follow = push === undefined ? [] : ["--push", push];
				const ways = ["--from", from, "--to", to, "--technique", technique, ...follow, "--json", json];
				const command = new CommandProcess("demo", "--guest", "v86", ...ways);
				const end = await command.ended;
				assert.is(end.code, 0, end.errors + end.output);
				assert.match(end.output, /moved and verified\n$/);
				const { metrics, checks } = JSON.parse(readFileSync(json, "utf8"));
				assert.is(metrics.technique, technique);
				assert.is(metrics.pageCount, 64 * 256);
				const follows = push !== undefined;
				const names = ["move", ...(follows ? ["pages"] : []), "count", "oracle", "md5", "faults"];
				assert.equal(
					checks.map(({ name }: { name: string }) => name),
					names,
				);
				if (follows) {
					assert.match(end.output, /pages that followed .* pushed/);
					assert.ok(metrics.paging.owedPages > 0);
					assert.is(metrics.paging.pushedPages + metrics.networkFaults, metrics.paging.owedPages);
				}
				await gone([await command.hostPid("source"), await command.hostPid("target")]);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});
} else
	test("without its Linux the command says what to do", async () => {
		console.log(`skipped: ${V86_READY} is missing: npm run guests`);
		const end = await new CommandProcess("demo", "--guest", "v86").ended;
		assert.is(end.code, 1);
		assert.match(end.errors, /npm run guests/);
	});

test.run();
