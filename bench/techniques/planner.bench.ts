// What the planner predicts of real third-party WebAssembly programs at work, beside what their moves then take: every
// technique, several loads and rates. The ratio is prediction ÷ measurement; the last rows say how many are within 25 %.
// Post-copy and hybrid need Node 22 as a target; on an older one they are left out, and that is printed.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest, WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveMetrics, TechniqueName } from "../../bindings/migration/metrics.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { recordDirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { plan, type TechniquePlan } from "../../bindings/planning/plan.ts";
import { sampleGuest } from "../../bindings/planning/sample.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import type { BenchOptions, Row } from "../row.ts";
import { pacedStream } from "./paced-stream.ts";

export const title = "Planner: predictions of moves of SQLite, QuickJS, Lua and Zstandard, and what the moves took";

const platform = nodePlatform();
const { clock, random, workers } = platform;
const TECHNIQUES: readonly TechniqueName[] = ["stop-and-copy", "pre-copy", "post-copy", "hybrid"];
const TRACE_MS = 2000;
/** A prediction this near is right. */
const WITHIN = 0.25;
const WANTED_SHARE = 0.8;
/** Figures below this say more about this machine's scheduler than about a move. */
const LEAST_MS = 1;
/** By so much the downtime of one and the same move differs from run to run, between workers on two busy cores. */
const NOISE_MS = 5;

interface Program {
	readonly name: string;
	readonly request: (number: number) => string;
}

interface Scene {
	readonly requestsPerSecond: number;
	readonly bytesPerMs: number;
	readonly ballastMiB: number;
}

const PROGRAMS: readonly Program[] = [
	{
		name: "sqlite",
		request: (n) =>
			n === 1
				? "CREATE TABLE t (n INTEGER PRIMARY KEY, v INTEGER, w TEXT); CREATE INDEX i ON t (v)"
				: `INSERT INTO t VALUES (${n}, ${(n * 7919) % 10007}, hex(randomblob(200))); SELECT count(*) FROM t WHERE v < ${n % 100}`,
	},
	{
		name: "quickjs",
		request: (n) => (n === 1 ? "globalThis.a = []; 0" : `for (let i = 0; i < 50; i++) a.push(${n} + i); a.length`),
	},
	{
		name: "lua",
		request: (n) =>
			n === 1
				? "data.t = {} return 0"
				: `for i = 1, 50 do data.t[(${n} * 50 + i) % 20000] = tostring(i + ${n}) end return #data.t`,
	},
	{ name: "zstd", request: (n) => `line ${n}: ${((n * 2654435761) >>> 0).toString(36).repeat(8)}\n` },
];
const SCENES: readonly Scene[] = [
	{ requestsPerSecond: 20, bytesPerMs: 40_000, ballastMiB: 24 },
	{ requestsPerSecond: 200, bytesPerMs: 12_000, ballastMiB: 12 },
];
const SMOKE: readonly Scene[] = [{ requestsPerSecond: 50, bytesPerMs: 20_000, ballastMiB: 1 }];

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const techniques = TECHNIQUES.filter((name) => canMove(name));
	if (techniques.length < TECHNIQUES.length)
		console.log(`skipped: post-copy and hybrid need a target on Node 22, this is ${process.version}`);
	const programs = smoke ? PROGRAMS.slice(0, 1) : PROGRAMS;
	const programUrls = await bundlePrograms(programs);
	const all: Row[] = [];
	const near = { total: 0, pages: 0, downtime: 0, nearDowntime: 0, of: 0 };
	for (const [i, program] of programs.entries())
		for (const scene of smoke ? SMOKE : SCENES) {
			const guest = await Working.start(program, programUrls[i]!, scene);
			try {
				for (const technique of techniques) all.push(...(await one(guest, program, scene, technique, smoke, near)));
			} finally {
				await guest.stop();
			}
		}
	for (const [name, count] of [
		["total time", near.total],
		["pages", near.pages],
		["downtime", near.downtime],
		[`downtime, or ${NOISE_MS} ms,`, near.nearDowntime],
		["all three", (near.total + near.pages + near.downtime) / 3],
	] as const)
		all.push({
			name: `predictions of ${name} within ${WITHIN * 100} %`,
			...{ value: (100 * count) / near.of, unit: "%", peer: "wanted", peerValue: 100 * WANTED_SHARE },
			...{ ratio: count / near.of / WANTED_SHARE, goal: 1 },
		});
	return all;
}

/** Predicts a move, makes it, and compares. */
async function one(
	guest: Working,
	program: Program,
	scene: Scene,
	technique: TechniqueName,
	smoke: boolean,
	near: { total: number; pages: number; downtime: number; nearDowntime: number; of: number },
): Promise<Row[]> {
	const predicted = await guest.predict(technique, smoke ? 300 : TRACE_MS);
	const measured = await guest.move(technique);
	const name = `${program.name}, ${scene.requestsPerSecond} requests/s, ${scene.bytesPerMs / 1000} MB/s, ${technique}`;
	const pairs = [
		["total", "total time, ms", predicted.totalMs.expected, measured.totalMs],
		["downtime", "downtime, ms", predicted.downtimeMs.expected, measured.downtimeMs],
		["pages", "pages", predicted.pages.expected, measured.pagesTransferred],
	] as const;
	near.of++;
	const offMs = Math.abs(predicted.downtimeMs.expected - measured.downtimeMs);
	if (offMs <= Math.max(NOISE_MS, WITHIN * measured.downtimeMs)) near.nearDowntime++;
	return pairs.map(([figure, unit, ours, theirs]) => {
		const isNear = Math.abs(ours / theirs - 1) <= WITHIN || Math.abs(ours - theirs) <= LEAST_MS;
		if (isNear) near[figure]++;
		return {
			name: `${name}${isNear ? "" : "  *"}`,
			value: ours,
			unit,
			peer: "measured",
			peerValue: theirs,
			ratio: ours / theirs,
		};
	});
}

/** A program that is asked at an even rate, wherever it is. */
class Working {
	readonly #program: Program;
	readonly #scene: Scene;
	readonly #factory: WasmGuestFactory;
	#guest: WasmGuest;
	#number = 0;
	#over = false;
	#work: Promise<void> = Promise.resolve();
	/** What a handover costs beside its pages and their verification: the middle one of five moves of the empty program. */
	#handoverMs = 0;

	private constructor(program: Program, scene: Scene, factory: WasmGuestFactory, guest: WasmGuest) {
		this.#program = program;
		this.#scene = scene;
		this.#factory = factory;
		this.#guest = guest;
	}

	static async start(program: Program, programUrl: string, scene: Scene): Promise<Working> {
		const factory = await WasmGuestFactory.open({ workers, clock, programUrls: [programUrl] });
		const guest = await startWasmGuest({ workers, clock, programUrl });
		const working = new Working(program, scene, factory, guest);
		await working.#ask();
		// The first moves compile what later ones find compiled. What is left is not the pages': there are hardly any.
		const handoversMs: number[] = [];
		for (let i = 0; i < 7; i++) {
			const { downtimeMs, downtimeParts } = await working.move("pre-copy", Number.POSITIVE_INFINITY);
			if (i >= 2) handoversMs.push(downtimeMs - downtimeParts.verifyMs - downtimeParts.finalRoundMs);
		}
		working.#handoverMs = handoversMs.sort((x, y) => x - y)[2]!;
		await working.#guest.call({ ballastMiB: scene.ballastMiB });
		working.#work = working.#askAgainAndAgain();
		return working;
	}

	async stop(): Promise<void> {
		this.#over = true;
		await this.#work;
		await this.#guest.discard();
	}

	async predict(technique: TechniqueName, traceMs: number): Promise<TechniquePlan> {
		const guest = this.#guest;
		const { bytesPerMs } = this.#scene;
		const trace = await recordDirtyTrace(guest, clock, { durationMs: traceMs, intervalMs: 25 });
		const sample = await sampleGuest(guest, clock, { linkBytesPerMs: bytesPerMs, trace });
		const verification = guest.dirty.tracker === "scan" ? "full" : "transport";
		const { techniques } = plan(trace, { bytesPerMs, sample, verification, handoverMs: this.#handoverMs });
		return techniques.find((one) => one.technique === technique)!;
	}

	/** Moves it to another worker of this process, over a loopback socket with the scene's rate. */
	async move(technique: TechniqueName, bytesPerMs: number = this.#scene.bytesPerMs): Promise<MoveMetrics> {
		const listener = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
		const [near, far] = await Promise.all([platform.connect(listener.address), listener.accept()]);
		await listener.close();
		if (far === undefined) throw new Error("no connection");
		const link = openLink(bytesPerMs === Number.POSITIVE_INFINITY ? near : pacedStream(near, bytesPerMs, clock));
		const received = receiveGuest({ link: openLink(far), factories: [this.#factory], clock });
		const services = { guest: this.#guest, link, clock, random };
		const moving = { "stop-and-copy": stopAndCopy, "pre-copy": preCopy, "post-copy": postCopy, hybrid }[technique](
			services,
		);
		const arrived = await received;
		if (arrived.outcome !== "running" || !(arrived.guest instanceof WasmGuest))
			throw new Error(`${technique}: ${arrived.outcome}${"error" in arrived ? ` (${arrived.error.message})` : ""}`);
		this.#guest = arrived.guest;
		const result = await moving;
		await arrived.paging?.ended;
		if (result.outcome !== "moved") throw new Error(`${technique}: ${result.outcome}`);
		return result.metrics;
	}

	async #ask(): Promise<void> {
		const number = ++this.#number;
		for (;;) {
			const guest = this.#guest;
			try {
				await guest.call({ number, request: this.#program.request(number) });
				return;
			} catch (error) {
				// Calls that the source has not started are asked again where the guest is then.
				if (guest === this.#guest && (error as { code?: string }).code !== "moved") throw error;
				await clock.sleep(1);
			}
		}
	}

	async #askAgainAndAgain(): Promise<void> {
		const everyMs = 1000 / this.#scene.requestsPerSecond;
		for (let nextMs = clock.now(); !this.#over; nextMs = Math.max(nextMs + everyMs, clock.now() - 100)) {
			if (nextMs > clock.now()) await clock.sleep(nextMs - clock.now());
			await this.#ask();
		}
	}
}

function canMove(technique: TechniqueName): boolean {
	const needsNewer = technique === "post-copy" || technique === "hybrid";
	return !needsNewer || Number(process.versions.node.split(".")[0]) >= 22;
}

/** The example programs as files that a worker can load. */
async function bundlePrograms(programs: readonly Program[]): Promise<string[]> {
	const root = process.cwd(); // benches run in the repository's root
	const outdir = join(root, "build", `planner-${process.pid}`);
	mkdirSync(outdir, { recursive: true });
	process.on("exit", () => rmSync(outdir, { recursive: true, force: true }));
	const entryPoints = programs.map(({ name }) => join(root, "examples/programs", `${name}.ts`));
	await build({
		entryPoints,
		outdir,
		bundle: true,
		format: "esm",
		platform: "node",
		target: "node20",
		packages: "external",
	});
	return programs.map(({ name }) => pathToFileURL(join(outdir, `${name}.js`)).href);
}
