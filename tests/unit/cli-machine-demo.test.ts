// The demo of a moved machine, with scripted processes in virtual time: each claim of its verdict fails once, and every wait
// of the command has an end.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Display } from "../../bindings/cli/display.ts";
import { TOKEN_VARIABLE } from "../../bindings/cli/host-config.ts";
import type { HostServices } from "../../bindings/cli/host-start.ts";
import { LineStream } from "../../bindings/cli/line-stream.ts";
import { type MachineDemoResult, runMachineDemo } from "../../bindings/cli/machine-demo.ts";
import type { MachineNews, MachineOrder } from "../../bindings/cli/machine-messages.ts";
import { parseMachineDemoOptions } from "../../bindings/cli/machine-options.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import type { MoveMetrics } from "../../bindings/migration/metrics.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";
import type { ProcessEnd, RunningProcess } from "../../bindings/ports/process.ts";

const test = suite("demo of a moved machine");

type Say = (news: MachineNews) => Promise<void>;

/** What a scripted process does; its Linux lives on in the other one after a move. */
interface Script {
	/** From one line of a program to its next, in ms. */
	readonly everyMs?: number;
	/** What the source answers to a move order. */
	readonly outcome?: string;
	/** Changes a line that the target's Linux writes; `undefined` leaves it out. */
	readonly line?: (line: string) => string | undefined;
	/** It is a post-copy move, and its pages come in so, a second after the switch. */
	readonly paged?: Extract<MachineNews, { news: "paged" }>;
	/** The process that ends by itself: the source when it is to move, the target a second after that. */
	readonly dies?: "source" | "target";
	/** The process that never answers its first order. */
	readonly silent?: "source" | "target";
}

/** Three programs, a line each per round. */
class Linux {
	#round = 0;
	runsAt: "source" | "target" = "source";

	nextLines(): string[] {
		const round = ++this.#round;
		return [`count ${round}\n`, `oracle ${round * 200} ok\n`, `md5 ${round} ok\n`];
	}
}

const METRICS: MoveMetrics = {
	technique: "pre-copy",
	verification: "full",
	...{ setupMs: 1, preparationMs: 1, downtimeMs: 1, resumeMs: 1, totalMs: 3, pauseWaitMs: 0 },
	downtimeParts: { finalRoundMs: 1, stateMs: 0, verifyMs: 0, commitMs: 0 },
	...{ pageCount: 1, pagesTransferred: 1, zeroPages: 0, bytesOnWire: 1, networkFaults: 0, minorFaults: 0 },
	...{ rounds: [], stopReason: undefined, longestSliceMs: 0, sliceP95Ms: 0, memoryBytes: 0 },
};

/** A process that does as its script says. */
class ScriptedProcess implements RunningProcess {
	readonly pid = 1;
	readonly lines: AsyncIterable<string> = (async function* () {})();
	readonly ended: Promise<ProcessEnd>;
	readonly #clock: VirtualClock;
	#resolve: (end: ProcessEnd) => void = () => undefined;
	over = false;

	constructor(clock: VirtualClock) {
		this.#clock = clock;
		this.ended = new Promise((resolve) => {
			this.#resolve = resolve;
		});
	}

	errorText(): string {
		return "";
	}

	kill(): void {
		this.#end({ code: undefined, signal: "SIGKILL" });
	}

	async run(role: "source" | "target", stream: ByteStream, token: string, script: Script, linux: Linux): Promise<void> {
		const control = new LineStream<MachineNews, MachineOrder>(stream);
		const say: Say = (news) => control.send(news).catch(() => undefined); // the command has gone
		await say({ news: "hello", token, runtime: "a script", door: { transport: "tcp", host: "127.0.0.1", port: 1 } });
		try {
			for await (const { order } of control.messages()) {
				if (script.silent === role) continue;
				if (order !== "move") {
					await say({ news: "ready", what: order });
					void this.#write(role, say, linux, script);
					if (role === "target") void this.#goOn(say, stream, script, linux);
				} else if (script.dies === "source") break;
				else await this.#move(say, script, linux);
			}
		} catch {
			// The command has dropped the connection.
		}
		stream.abort("ended");
		this.#end({ code: 0, signal: undefined });
	}

	async #move(say: Say, { outcome = "moved", paged }: Script, linux: Linux): Promise<void> {
		if (outcome === "moved") linux.runsAt = "target";
		if (paged !== undefined) await this.#clock.sleep(1000);
		await say({ news: "move", ...moved(outcome) });
	}

	/** What happens at the target once the Linux runs there. */
	async #goOn(say: Say, stream: ByteStream, { dies, paged }: Script, linux: Linux): Promise<void> {
		while (!this.over && linux.runsAt === "source") await this.#clock.sleep(5);
		await this.#clock.sleep(1000);
		if (paged !== undefined) await say(paged);
		if (dies === "target") stream.abort("died");
	}

	async #write(role: Linux["runsAt"], say: Say, linux: Linux, script: Script): Promise<void> {
		const line = role === "target" && script.line !== undefined ? script.line : (text: string) => text;
		for (; !this.over; await this.#clock.sleep(script.everyMs ?? 50)) {
			if (linux.runsAt !== role) continue;
			const text = linux.nextLines().map(line).join("");
			if (text !== "") await say({ news: "text", text });
		}
	}

	#end(end: ProcessEnd): void {
		this.over = true;
		this.#resolve(end);
	}
}

function moved(outcome: string): Omit<Extract<MachineNews, { news: "move" }>, "news"> {
	return { outcome, metrics: METRICS, failure: outcome === "moved" ? undefined : "the link is gone" };
}

const QUIET: Display = { step: () => undefined, progress: () => undefined, progressEnd: () => undefined };

interface Run {
	readonly result: MachineDemoResult | undefined;
	readonly error: unknown;
	readonly elapsedMs: number;
	/** Processes that have not ended. */
	readonly left: number;
}

/** Runs the demo against such processes. */
async function demo(script: Script, stopAtMs = Number.POSITIVE_INFINITY): Promise<Run> {
	const clock = new VirtualClock(systemClock);
	const linux = new Linux();
	const processes: ScriptedProcess[] = [];
	const waiting: ((stream: ByteStream | undefined) => void)[] = [];
	const arrived: ByteStream[] = [];
	const stop = new AbortController();
	const platform: HostServices = {
		clock,
		random: new SeededRandom(1),
		listen: async () => ({
			address: { transport: "tcp", host: "127.0.0.1", port: 1 },
			accept: () => new Promise((resolve) => (arrived.length > 0 ? resolve(arrived.shift()) : waiting.push(resolve))),
			close: async () => {
				for (const resolve of waiting.splice(0)) resolve(undefined);
			},
		}),
		processes: {
			start: async ({ env }) => {
				const process = new ScriptedProcess(clock);
				const role = processes.push(process) === 1 ? "source" : "target";
				const { a, b } = connectSimulated(clock);
				void process.run(role, b, env?.[TOKEN_VARIABLE] ?? "", script, linux);
				const next = waiting.shift();
				if (next === undefined) arrived.push(a);
				else next(a);
				return process;
			},
		},
	};
	const usual = parseMachineDemoOptions(["--guest", "v86"]);
	const options = script.paged === undefined ? usual : { ...usual, technique: "post-copy" as const };
	let outcome: { result?: MachineDemoResult; error?: unknown } = {};
	await clock.run(async () => {
		clock.schedule(stopAtMs, () => stop.abort(new Error("interrupted")));
		const command = () => ({ executable: "a script", args: [] });
		const services = { platform, command, display: QUIET, signal: stop.signal };
		outcome = await runMachineDemo(options, services).then(
			(result) => ({ result }),
			(error: unknown) => ({ error }),
		);
	});
	const left = processes.filter(({ over }) => !over).length;
	return { result: outcome.result, error: outcome.error, elapsedMs: clock.now(), left };
}

const failed = ({ result, error }: Run): string[] => {
	assert.is(error, undefined, String(error));
	return result?.checks.filter(({ ok }) => !ok).map(({ name }) => name) ?? [];
};

test("a machine whose programs go on is verified, and no process is left", async () => {
	const run = await demo({});
	assert.equal(failed(run), []);
	assert.is(run.result?.verified, true);
	assert.is(run.left, 0);
	assert.equal(
		run.result?.checks.map(({ name }) => name),
		["move", "count", "oracle", "md5", "faults"],
	);
});

for (const word of ["count", "oracle", "md5"])
	test(`${word} stands still after the move: an error that says so, in bounded time`, async () => {
		const run = await demo({ line: (line) => (line.startsWith(word) ? undefined : line) });
		assert.match(String(run.error), new RegExp(`at the target: .*${word} 0\\b.*belongs to the target`));
		assert.is(Reflect.get(Object(run.error), "code"), "standstill");
		assert.ok(run.elapsedMs < 70_000, `${run.elapsedMs} ms`);
		assert.is(run.left, 0);
	});

test("a machine that is slow is waited for", async () => {
	const run = await demo({ everyMs: 20_000 });
	assert.equal(failed(run), []);
	assert.ok(run.elapsedMs > 400_000, `${run.elapsedMs} ms`);
});

test("a machine that writes nothing at all after the move is an error too", async () => {
	const run = await demo({ line: () => undefined });
	assert.match(String(run.error), /count 0, oracle 0, md5 0/);
	assert.is(run.left, 0);
});

for (const [claim, failing, line] of [
	["a counter that begins again", "count", (text: string) => text.replace(/^count \d+/, "count 1")],
	["an oracle that skips", "oracle", (text: string) => text.replace(/^oracle (\d+)00 ok/, "oracle $1 ok")],
	["hashes that repeat a number", "md5", (text: string) => (text.startsWith("md5") ? text + text : text)],
	["a page that the guest finds wrong", "faults", (text: string) => `${text}oracle BAD page 1 is 2 not 3\n`],
] as const)
	test(`${claim}: moved, and not verified`, async () => {
		const run = await demo({ line });
		assert.equal(failed(run), [failing]);
		assert.is(run.result?.verified, false);
	});

test("a guest that was kept goes on at the source: not verified, and what it does there is judged", async () => {
	const run = await demo({ outcome: "kept" });
	assert.equal(failed(run), ["move"]);
	assert.is(run.result?.checks.length, 5);
	assert.is(run.result?.verified, false);
});

test("an unconfirmed move is not verified", async () => {
	const run = await demo({ outcome: "unconfirmed" });
	assert.equal(failed(run), ["move"]);
	assert.is(run.left, 0);
});

test("a source that dies at the move is an error", async () => {
	const run = await demo({ dies: "source" });
	assert.match(String(run.error), /the source process ended with exit code 0/);
	assert.is(run.left, 0);
});

test("a target that dies after the move is an error, and nobody waits for it", async () => {
	const run = await demo({ dies: "target", line: (line) => (line.startsWith("md5") ? undefined : line) });
	assert.match(String(run.error), /the target process ended with exit code 0/);
	assert.ok(run.elapsedMs < 10_000, `${run.elapsedMs} ms`);
	assert.is(run.left, 0);
});

const ALL_PAGES = { news: "paged", outcome: "complete", missingPages: 0 } as const;

test("after a post-copy move the pages are judged too, and what is written before they are there does not count", async () => {
	const run = await demo({ paged: ALL_PAGES });
	assert.equal(failed(run), []);
	assert.match(run.result?.checks.find(({ name }) => name === "count")?.detail ?? "", /, 2\d after the move/);
	const names = ["move", "pages", "count", "oracle", "md5", "faults"];
	assert.equal(
		run.result?.checks.map(({ name }) => name),
		names,
	);
	assert.equal(failed(await demo({ paged: { ...ALL_PAGES, outcome: "interrupted", missingPages: 7 } })), ["pages"]);
	assert.equal(failed(await demo({ paged: { ...ALL_PAGES, outcome: "corrupt" } })), ["pages"]);
});

test("a program that ends with the last page is an error", async () => {
	let lines = 0;
	const run = await demo({ paged: ALL_PAGES, line: (line) => (/^md5/.test(line) && ++lines > 19 ? undefined : line) });
	assert.match(String(run.error), /at the target: .*md5 [01],/);
	assert.is(Reflect.get(Object(run.error), "code"), "standstill");
});

for (const silent of ["source", "target"] as const)
	test(`a ${silent} that never gets ready is an error, in bounded time`, async () => {
		const run = await demo({ silent });
		assert.match(String(run.error), new RegExp(`${silent}: no 'ready' in 120000 ms`));
		assert.is(run.left, 0);
	});

test("interrupted at any moment, it ends with the caller's reason and leaves no process", async () => {
	const whole = await demo({});
	for (let atMs = 0; atMs < whole.elapsedMs; atMs += 7) {
		const run = await demo({}, atMs);
		assert.match(String(run.error), /interrupted/, `at ${atMs} ms`);
		assert.is(run.left, 0);
	}
	const waiting = await demo({ silent: "source" }, 5000);
	assert.match(String(waiting.error), /interrupted/);
	assert.is(waiting.elapsedMs, 5000, "also while it waits for news");
});

test.run();
