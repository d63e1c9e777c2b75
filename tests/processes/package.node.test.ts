// The package as others get it: packed, installed in an empty folder, used from Node and from Deno, and its command.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import ts from "typescript";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const run = promisify(execFile);
const deno: string = createRequire(`${process.cwd()}/`)("deno/install_api.cjs").runInstall();
const test = suite("package");

let folder = "";
test.before(async () => {
	folder = mkdtempSync(join(tmpdir(), "package-test-"));
	const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder]);
	const [{ filename }] = JSON.parse(stdout);
	writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
	await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, filename)], { cwd: folder });
});
test.after(() => {
	rmSync(folder, { recursive: true, force: true });
});

const installed = (): string => join(folder, "node_modules/pageferry");

test("it holds what package.json says, no test, no source of a guest's Linux, and nothing that it depends on", () => {
	const files = readdirSync(installed(), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
	const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(installed().length + 1));
	assert.ok(paths.length > 100, `${paths.length} files`);
	for (const path of paths)
		assert.match(
			path,
			/^(dist\/.*\.(js|wasm|d\.ts|txt)|docs\/[\w-]+\.md|(README|CHANGELOG)\.md|LICENSE|package\.json)$/,
		);
	assert.equal(
		paths.filter((path) => /test|tools|vmlinuz|bios/i.test(path)),
		[],
	);
	assert.equal(
		readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith(".")),
		["pageferry"],
	);
	for (const name of ["@assemblyscript/loader", "echarts", "cli-table3", "cli-progress"])
		assert.ok(readFileSync(join(installed(), "dist/THIRD-PARTY-LICENSES.txt"), "utf8").includes(`\n${name} `), name);
	for (const path of paths.filter((name) => name.endsWith(".js")))
		assert.not.match(readFileSync(join(installed(), path), "utf8"), /GNU (LESSER )?GENERAL PUBLIC/i, path);
});

const EXAMPLE = `
import { localPlatform, MemoryGuest, MemoryGuestFactory, openLinkPair, preCopy, receiveGuest } from "pageferry";
import { V86WorkerGuestFactory } from "pageferry/guests/v86";
import { startQemuGuest } from "pageferry/guests/qemu";
const { clock, random, runtime } = localPlatform();
const guest: MemoryGuest = new MemoryGuest({ pageCount: 64 });
const [near, far] = openLinkPair();
const arriving = receiveGuest({ link: far, factories: [new MemoryGuestFactory(clock, 64)], clock });
const { outcome } = await preCopy({ guest, link: near, clock, random });
console.log(runtime, outcome, (await arriving).outcome, typeof V86WorkerGuestFactory, typeof startQemuGuest);
`;

test("it is used from Node", async () => {
	writeFileSync(join(folder, "use.mjs"), EXAMPLE.replace("guest: MemoryGuest", "guest"));
	const { stdout } = await run(process.execPath, ["use.mjs"], { cwd: folder });
	assert.is(stdout, "node moved running function function\n");
});

test("it is used from Deno, with its types", async () => {
	writeFileSync(join(folder, "use.ts"), EXAMPLE);
	const { stdout } = await run(deno, ["run", "--check", "--allow-all", "--no-lock", "use.ts"], { cwd: folder });
	assert.is(stdout, "deno moved running function function\n");
});

for (const way of ["Node16", "NodeNext", "Bundler"] as const)
	test(`its types resolve as by ${way}`, () => {
		const path = join(folder, `types-${way}.ts`);
		writeFileSync(path, `declare const console: { log(...words: unknown[]): void };${EXAMPLE}`);
		const program = ts.createProgram([path], {
			noEmit: true,
			strict: true,
			target: ts.ScriptTarget.ES2022,
			types: [],
			module: way === "Bundler" ? ts.ModuleKind.ESNext : ts.ModuleKind[way],
			moduleResolution: ts.ModuleResolutionKind[way],
		});
		const found = ts.getPreEmitDiagnostics(program, program.getSourceFile(path));
		assert.equal(
			found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " ")),
			[],
		);
	});

test("its command runs", async () => {
	const { stdout } = await run("npx", ["--no-install", "pageferry", "--version"], { cwd: folder });
	assert.is(stdout.trim(), JSON.parse(readFileSync("package.json", "utf8")).version);
	const failing = await run("npx", ["--no-install", "pageferry", "demo"], { cwd: folder }).catch((error) => error);
	assert.is(failing.code, 1);
	assert.match(failing.stderr, /npm install sql\.js/);
});

const LOAD = `
import { localPlatform } from "pageferry";
import { loadV86 } from "pageferry/guests/v86";
const told = await loadV86(localPlatform().files).then(
	({ version, wasm }) => "v86 " + version + " of " + wasm.length + " bytes",
	({ name, code, message }) => name + " " + code + ": " + message,
);
console.log(told);
`;

/** Puts a package by the name of v86 beside ours. */
function putV86(files: Readonly<Record<string, string>>): void {
	const place = join(folder, "node_modules/v86");
	rmSync(place, { recursive: true, force: true });
	for (const [path, text] of Object.entries(files)) {
		mkdirSync(dirname(join(place, path)), { recursive: true });
		writeFileSync(join(place, path), text);
	}
}

const aboutV86 = (version: string): string =>
	JSON.stringify({ name: "v86", version, type: "module", main: "build/libv86.mjs" });
const V86_FILES = { "build/libv86.mjs": "export class V86 {}", "build/v86.wasm": "module" };

for (const runtime of ["Node", "Deno"] as const) {
	const load = async (): Promise<string> => {
		writeFileSync(join(folder, "load.mjs"), LOAD);
		const words = runtime === "Node" ? ["load.mjs"] : ["run", "--allow-all", "--no-lock", "load.mjs"];
		return (await run(runtime === "Node" ? process.execPath : deno, words, { cwd: folder })).stdout;
	};

	test(`without v86 it says what to install: ${runtime}`, async () => {
		putV86({});
		assert.match(
			await load(),
			/^GuestError incompatible: the package v86 cannot be loaded: npm install --save-exact v86@0\.5\.462 \(/,
		);
	});

	test(`another version of v86 is refused by its name, also where its code is elsewhere: ${runtime}`, async () => {
		for (const files of [V86_FILES, {}]) {
			putV86({ ...files, "package.json": aboutV86("0.5.461") });
			assert.match(await load(), /^GuestError incompatible: v86 0\.5\.461 is installed, .*npm install --save-exact/);
		}
		putV86({ ...V86_FILES, "package.json": aboutV86("0.5.462+abc") });
		assert.is(await load(), "v86 0.5.462+abc of 6 bytes\n");
		putV86({ "build/libv86.mjs": "export class V86 {}", "package.json": aboutV86("0.5.462") });
		assert.match(await load(), /^GuestError incompatible: .*npm install.*v86\.wasm/);
	});
}

test.run();
