// What every ProcessPort keeps; the processes run `tests/programs/speaker.ts`.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import { ProcessError, type RunningProcess } from "../../../bindings/ports/process.ts";
import { failsWith } from "./failures.ts";
import type { TestRuntime } from "./test-runtime.ts";

async function linesOf(process: RunningProcess): Promise<string[]> {
	const lines: string[] = [];
	for await (const line of process.lines) lines.push(line);
	return lines;
}

/** Adds the contract's tests to `test`. */
export function processContract(test: ReturnType<typeof suite>, runtime: TestRuntime): void {
	const { clock, processes } = runtime.platform;
	const until = async (isSo: () => Promise<boolean>) => {
		for (let turn = 0; !(await isSo()); turn++) {
			assert.ok(turn < 100_000, "it never came true");
			await clock.sleep(0);
		}
	};
	const speaker = (...args: string[]) => processes.start(runtime.program("speaker", ...args));

	test("standard output comes line by line, whatever the line ends and pieces", async () => {
		const process = await speaker("print", "one\ntwo\r\n\nfünf €\nlast without end");
		assert.equal(await linesOf(process), ["one", "two", "", "fünf €", "last without end"]);
		assert.equal(await process.ended, { code: 0, signal: undefined });
		assert.equal(await linesOf(process), [], "read to the end once");
	});

	test("a process that prints more than fits waits for its reader, and nothing is lost", async () => {
		const count = 300_000;
		const process = await speaker("flood", String(count));
		// Time enough to print it all, if nothing held it up.
		const observedMs = 1000;
		const outcome = await Promise.race([process.ended, clock.sleep(observedMs)]);
		assert.is(outcome, undefined, `it printed ${count} lines that nobody has read`);
		let next = 0;
		for await (const line of process.lines) assert.is(line, `line ${next++}`);
		assert.is(next, count);
		assert.is((await process.ended).code, 0);
	});

	test("a line without end arrives in pieces instead of filling memory", async () => {
		const process = await speaker("long line", "5000000");
		const lines = await linesOf(process);
		assert.ok(lines.length > 1);
		assert.is(lines.join("").length, 5_000_000);
	});

	test("the exit code is told, and what was said on standard error before it", async () => {
		const process = await speaker("fail", "7", "what went wrong");
		assert.equal(await process.ended, { code: 7, signal: undefined });
		assert.match(process.errorText(), /what went wrong/);
	});

	test("of standard error the last 64 KiB are kept", async () => {
		const process = await speaker("complain", "300000");
		await process.ended;
		const text = process.errorText();
		assert.is(text.length, 64 * 1024);
		assert.ok(text.endsWith("the end"));
	});

	test("a signal ends it, and the end names the signal", async () => {
		for (const signal of ["SIGTERM", "SIGKILL"] as const) {
			const process = await speaker("wait");
			for await (const line of process.lines) if (line === "waiting") break;
			assert.ok(process.pid > 0);
			process.kill(signal);
			assert.equal(await process.ended, { code: undefined, signal });
			process.kill("SIGKILL");
		}
	});

	test("a stopped process goes on when it is told to", async () => {
		const process = await speaker("wait");
		const lines = process.lines[Symbol.asyncIterator]();
		assert.is((await lines.next()).value, "waiting");
		process.kill("SIGSTOP");
		// All its threads must have stopped before the next signal comes.
		await until(async () => (await runtime.processState(process.pid)) === "T");
		process.kill("SIGTERM");
		let hasEnded = false;
		void process.ended.then(() => {
			hasEnded = true;
		});
		for (let turn = 0; turn < 500; turn++) await clock.sleep(0);
		assert.not.ok(hasEnded, "a stopped process takes no signal but SIGKILL and SIGCONT");
		process.kill("SIGCONT");
		assert.is((await process.ended).signal, "SIGTERM");
	});

	test("standard input is closed, and the environment is ours with what was added", async () => {
		const command = runtime.program("speaker", "environment");
		const process = await processes.start({ ...command, env: { PAGEFERRY_TEST: "added" } });
		const [added, path, input] = await linesOf(process);
		assert.is(added, "added");
		assert.ok(path !== "" && path !== "undefined");
		assert.is(input, "end of input");
	});

	test("arguments reach it as they are: no shell reads them", async () => {
		const wild = "$HOME `id` \"quoted\" 'too' * ; exit 3";
		const process = await speaker("print", wild);
		assert.equal(await linesOf(process), [wild]);
	});

	test("a program that does not exist is a typed error", async () => {
		const error = await failsWith(
			ProcessError,
			"not-started",
			processes.start({ executable: "/no/such/program", args: [] }),
		);
		assert.match(error.message, /\/no\/such\/program/);
		assert.ok(error.cause !== undefined);
	});

	for (const ending of ["throw", "exit"])
		test(`processes it has started do not outlive a program that ends (${ending})`, async () => {
			const parent = await speaker("leave a child", ending);
			const lines = await linesOf(parent);
			const child = Number(/^child (\d+)$/.exec(lines[0] ?? "")?.[1]);
			assert.ok(child > 0, parent.errorText());
			await parent.ended;
			// A killed orphan belongs to init, which may take a moment to collect it.
			await until(async () => [undefined, "Z", "X"].includes(await runtime.processState(child)));
		});
}
