// What README and docs/ show is so: their code has the types of the package as it is built, and every command that they name
// exists and takes those options.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import ts from "typescript";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { asksForGuest, parseMachineDemoOptions } from "../../bindings/cli/machine-options.ts";
import { parseDemoOptions } from "../../bindings/cli/options.ts";

const test = suite("README and docs");
const PAGES = ["README.md", "CHANGELOG.md", ...readdirSync("docs").map((name) => `docs/${name}`)];
const folder = `build/documents-${process.pid}`; // below the package, so that `pageferry` means it

test.before(() => {
	mkdirSync(folder, { recursive: true });
});
test.after(() => {
	rmSync(folder, { recursive: true, force: true });
});

interface Block {
	readonly at: string;
	readonly path: string;
	/** It is a piece of a program: it may use names that it does not show. */
	readonly isPiece: boolean;
}

function blocksOf(page: string): Block[] {
	const text = readFileSync(page, "utf8");
	return Array.from(text.matchAll(/^```ts( ignore)?\n([\s\S]*?)^```/gm), (found, index) => {
		const path = `${folder}/${page.replaceAll(/\W/g, "-")}-${index}.ts`;
		writeFileSync(path, `${found[2]}\nexport {};\n`);
		const line = text.slice(0, found.index).split("\n").length;
		return { at: `${page}:${line}`, path, isPiece: found[1] !== undefined };
	});
}

/** A name that the piece does not show; with it, what follows from its having no type. */
const FREE_NAMES = [2304, 18004, 2552, 7006, 7031];

for (const way of ["NodeNext", "Bundler"] as const)
	test(`code blocks have the package's types, resolved as by ${way}`, () => {
		const blocks = PAGES.flatMap(blocksOf);
		assert.ok(blocks.length >= 7, `${blocks.length} blocks`);
		const program = ts.createProgram(
			blocks.map(({ path }) => path),
			{
				noEmit: true,
				strict: true,
				skipLibCheck: true,
				target: ts.ScriptTarget.ES2022,
				lib: ["lib.es2023.d.ts"],
				types: ["node"],
				module: way === "NodeNext" ? ts.ModuleKind.NodeNext : ts.ModuleKind.ESNext,
				moduleResolution: ts.ModuleResolutionKind[way],
			},
		);
		const wrong = blocks.flatMap(({ at, path, isPiece }) => {
			const file = program.getSourceFile(path);
			return ts
				.getPreEmitDiagnostics(program, file)
				.filter(({ code }) => !(isPiece && FREE_NAMES.includes(code)))
				.map(({ messageText }) => `${at}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
		});
		assert.equal(wrong, []);
	});

const scripts: readonly string[] = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).scripts);
const benches = readdirSync("bench", { recursive: true }).map(String);

/** One command for each of its alternatives: `--guest v86|qemu`. */
function spelledOut(words: readonly string[]): string[][] {
	return words.reduce<string[][]>(
		(all, word) => all.flatMap((done) => word.split("|").map((choice) => [...done, choice])),
		[[]],
	);
}

/** @throws what is wrong with it */
function check(command: string): void {
	const [program, ...words] = command
		.replace(/\s+#.*$/, "")
		.replaceAll(/\bFILE\b/g, "build/file")
		.replaceAll(/[[\]…]/g, "")
		.split(/\s+/);
	const name = words[0] === "run" ? words[1]! : words[0]!;
	if (program === "node") assert.ok(existsSync(words[0]!), words[0]);
	if (program !== "npm" || name === "ci" || name === "install") return;
	assert.ok(scripts.includes(name), `no script ${name}`);
	const given = words.slice(words.indexOf("--") + 1);
	if (!words.includes("--") || given.includes("--help")) return;
	if (name === "start")
		for (const one of spelledOut(given)) asksForGuest(one) ? parseMachineDemoOptions(one) : parseDemoOptions(one);
	if (name === "bench" && !given[0]!.startsWith("--"))
		assert.ok(
			benches.some((path) => path.endsWith(".bench.ts") && path.includes(given[0]!)),
			`no bench ${given[0]}`,
		);
}

test("every command that they name exists and takes those options", () => {
	let commands = 0;
	for (const page of PAGES)
		for (const [, line] of readFileSync(page, "utf8").matchAll(/(?:`|^)((?:npm|node|npx) [^`\n]+)/gm))
			for (const command of line!.replace(/#.*$/, "").split("&&")) {
				if (!/^\s*(npm|node) /.test(command)) continue;
				commands++;
				try {
					check(command.trim());
				} catch (error) {
					assert.unreachable(`${page}: ${command.trim()}: ${error}`);
				}
			}
	assert.ok(commands > 40, `${commands} commands`);
});

test("every page that they link to exists", () => {
	for (const page of PAGES)
		for (const [, target] of readFileSync(page, "utf8").matchAll(/\]\(((?!https?:|#)[^)#]+)/g))
			assert.ok(existsSync(new URL(target!, `file://${process.cwd()}/${page}`)), `${page}: ${target}`);
});

test.run();
