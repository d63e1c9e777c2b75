// Every example runs, on Node (bundled by examples/run.mjs) and on Deno (as it is).
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const run = promisify(execFile);
const deno: string = createRequire(`${process.cwd()}/`)("deno/install_api.cjs").runInstall();
const names = readdirSync("examples")
	.filter((name) => name.endsWith(".ts"))
	.map((name) => name.replace(/\.ts$/, ""));

const test = suite("examples");

test("there are examples", () => {
	assert.ok(names.includes("move-between-processes"));
});

/** What `npm run guests` writes last for the examples of each kind of machine. */
const PREPARED = {
	v86: "build/guests/ready/v86/manifest.json",
	qemu: "build/guests/assets/qemu/manifest.json",
} as const;

/** What an example must have said; one that needs what `npm run guests` prepares may say that it is missing, if it is. */
function judge(name: string, stdout: string): void {
	const machine = /^(v86|qemu)-/.exec(name)?.[1] as keyof typeof PREPARED | undefined;
	if (machine !== undefined && !existsSync(PREPARED[machine])) {
		assert.match(stdout, /^skipped/m);
		console.log(stdout.trim());
	} else assert.match(stdout, /moved|downtime|back to/);
}

for (const name of names) {
	test(`${name} runs on Node`, async () => {
		const { stdout } = await run(process.execPath, ["examples/run.mjs", name]);
		judge(name, stdout);
	});
	test(`${name} runs on Deno`, async () => {
		const { stdout } = await run(deno, ["run", "--allow-all", "--no-check", `examples/${name}.ts`]);
		judge(name, stdout);
	});
}

test("an example that does not exist is a wrong use", async () => {
	const failed = await run(process.execPath, ["examples/run.mjs", "teleport"]).catch((error) => error);
	assert.is(failed.code, 2);
	assert.match(failed.stderr, /move-between-processes/);
});

test.run();
