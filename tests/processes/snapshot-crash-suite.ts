// Writers of snapshots that are killed at any moment, on both runtimes, alone and beside others.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import type { RunningProcess } from "../../bindings/ports/process.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { TestRuntime } from "../contract/suites/test-runtime.ts";
import { environment } from "../simulation/environment.ts";

/** Kills of lone writers; crash.mjs runs a thousand. */
const RUNS = Number(environment("PAGEFERRY_CRASH_RUNS") ?? 24);
const SEED = Number(environment("PAGEFERRY_CRASH_SEED") ?? 20_262);

interface Maker {
	readonly process: RunningProcess;
	/** Digests of acknowledged snapshots, by id. */
	readonly kept: Map<string, string>;
	readonly leaving: Set<string>;
	/** Resolves with the first acknowledged snapshot, or with the end. */
	readonly started: Promise<void>;
	readonly finished: Promise<void>;
}

/** @param number - odd ones run on the other runtime, where there is one. */
async function startMaker(runtime: TestRuntime, folder: string, number: number): Promise<Maker> {
	const make = number % 2 === 1 && runtime.foreignProgram !== undefined ? runtime.foreignProgram : runtime.program;
	const process = await runtime.platform.processes.start(make("snapshot-maker", folder, String(SEED + number)));
	const kept = new Map<string, string>();
	const leaving = new Set<string>();
	let onStart = () => {};
	const started = new Promise<void>((resolve) => {
		onStart = resolve;
	});
	const finished = (async () => {
		for await (const line of process.lines) {
			const [word, id = "", digest = ""] = line.split(" ");
			if (word === "kept") {
				kept.set(id, digest);
				onStart();
			} else if (word === "leaving") leaving.add(id);
		}
		onStart();
		await process.ended;
	})();
	return { process, kept, leaving, started, finished };
}

/** Everything that the makers have acknowledged is there and right; so is whatever else is there. */
async function check(runtime: TestRuntime, folder: string, makers: readonly Maker[]): Promise<void> {
	const store = new SnapshotStore(await runtime.platform.openFolderStore(folder), runtime.platform);
	const listed = new Map((await store.list()).map((info) => [info.id, info]));
	for (const { kept, leaving } of makers)
		for (const [id, digest] of kept) {
			const info = listed.get(id);
			if (info === undefined) assert.ok(leaving.has(id), `${id} was acknowledged and is lost`);
			else assert.is(info.digest, digest);
		}
	for (const id of listed.keys()) await store.verify(id);
}

/** Adds the tests to `test`. */
export function snapshotCrashes(test: ReturnType<typeof suite>, runtime: TestRuntime): void {
	const inFolder = async (body: (folder: string) => Promise<void>) => {
		const folder = await runtime.temporaryFolder();
		try {
			await body(folder);
		} finally {
			await runtime.removeFolder(folder);
		}
	};

	test(`a writer that is killed loses nothing acknowledged and shows nothing half, ${RUNS} times (seed ${SEED})`, () =>
		inFolder(async (folder) => {
			const random = new SeededRandom(SEED);
			const makers: Maker[] = [];
			for (let run = 0; run < RUNS; run++) {
				const maker = await startMaker(runtime, folder, run);
				await maker.started;
				// A snapshot takes some 10 ms here: the kill comes anywhere in the next few.
				await runtime.platform.clock.sleep((random.nextU32() % 60_000) / 1000);
				maker.process.kill("SIGKILL");
				await maker.finished;
				assert.is((await maker.process.ended).signal, "SIGKILL", maker.process.errorText());
				makers.push(maker);
				await check(runtime, folder, makers);
				// What the dead ones left goes; of each some snapshots stay, so that the next one shares and packs anew.
				const store = new SnapshotStore(await runtime.platform.openFolderStore(folder), runtime.platform);
				const keep = (await store.list()).slice(-6).map(({ id }) => id);
				for (const { kept, leaving } of makers) for (const id of kept.keys()) if (!keep.includes(id)) leaving.add(id);
				await store.prune({ keep, deadWriters: "all" });
			}
			await check(runtime, folder, makers);
		}));

	test(`writers at once of which some are killed do each other no harm (seed ${SEED})`, () =>
		inFolder(async (folder) => {
			const random = new SeededRandom(SEED + 1);
			const makers = [await startMaker(runtime, folder, 1000), await startMaker(runtime, folder, 1001)];
			const running = [...makers];
			for (let run = 0; run < Math.ceil(RUNS / 4); run++) {
				const place = random.nextU32() % running.length;
				const victim = running[place]!;
				await victim.started;
				await runtime.platform.clock.sleep((random.nextU32() % 60_000) / 1000);
				victim.process.kill("SIGKILL");
				await victim.finished;
				assert.is((await victim.process.ended).signal, "SIGKILL", victim.process.errorText());
				running[place] = await startMaker(runtime, folder, run);
				makers.push(running[place]!);
			}
			for (const { process } of running) process.kill("SIGKILL");
			await Promise.all(running.map(({ finished }) => finished));
			for (const { process } of running) assert.is((await process.ended).signal, "SIGKILL", process.errorText());
			await check(runtime, folder, makers);
			const store = new SnapshotStore(await runtime.platform.openFolderStore(folder), runtime.platform);
			await store.prune({ deadWriters: "all" });
			await check(runtime, folder, makers);
		}));
}
