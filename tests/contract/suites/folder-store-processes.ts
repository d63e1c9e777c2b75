// A folder store among processes that race and are killed.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../../bindings/lab/seeded-random.ts";
import type { ProcessCommand, RunningProcess } from "../../../bindings/ports/process.ts";
import { objectBytes, readCounter } from "../../programs/store-counter-format.ts";
import type { TestRuntime } from "./test-runtime.ts";

const SEED = 20_261;

interface Counter {
	readonly process: RunningProcess;
	/** Acknowledged numbers so far. */
	readonly won: number[];
	/** Resolves with the first acknowledged move, or with the end. */
	readonly started: Promise<void>;
	readonly finished: Promise<void>;
}

async function startCounter({ platform }: TestRuntime, command: ProcessCommand): Promise<Counter> {
	const process = await platform.processes.start(command);
	const won: number[] = [];
	let onStart = () => {};
	const started = new Promise<void>((resolve) => {
		onStart = resolve;
	});
	const finished = (async () => {
		for await (const line of process.lines) {
			const number = /^won (\d+)$/.exec(line)?.[1];
			if (number === undefined) continue;
			won.push(Number(number));
			onStart();
		}
		onStart();
		await process.ended;
	})();
	return { process, won, started, finished };
}

/** Adds tests with real processes, of both runtimes where this one can start the other. */
export function folderStoreProcesses(test: ReturnType<typeof suite>, runtime: TestRuntime): void {
	const { platform } = runtime;
	const counterOf = (index: number, folder: string, wins: number) => {
		const make = index % 2 === 1 && runtime.foreignProgram !== undefined ? runtime.foreignProgram : runtime.program;
		return startCounter(runtime, make("store-counter", folder, String(wins)));
	};
	const check = (name: string, body: (folder: string) => Promise<void>) =>
		test(name, async () => {
			const folder = await runtime.temporaryFolder();
			try {
				await body(folder);
			} finally {
				await runtime.removeFolder(folder);
			}
		});

	check("processes that race on one reference win each number exactly once", async (folder) => {
		const counters = await Promise.all([0, 1, 2, 3].map((index) => counterOf(index, folder, 40)));
		await Promise.all(counters.map(({ finished }) => finished));
		for (const { process } of counters) assert.is((await process.ended).code, 0, process.errorText());
		const won = counters.flatMap((counter) => counter.won).sort((a, b) => a - b);
		assert.equal(
			won,
			Array.from({ length: 160 }, (_, index) => index + 1),
		);
		const store = await platform.openFolderStore(folder);
		assert.is(readCounter(await store.readReference("counter")), 160);
		const states = await runtime.names(`${folder}/references/counter`);
		assert.is(states.length, 1);
		// Losers' values are removed by the moves that follow: what is left is bounded by the racers of the last moves.
		const values = await runtime.names(`${folder}/references/counter/${states[0]}`);
		assert.ok(values.length <= 8, `${values.length} values are left`);
	});

	check(`a killed writer loses nothing acknowledged and tears nothing, 40 times (seed ${SEED})`, async (folder) => {
		const random = new SeededRandom(SEED);
		let acknowledged = 0;
		for (let round = 0; round < 40; round++) {
			const counter = await counterOf(round, folder, 1_000_000);
			await counter.started;
			// The kill may come anywhere in the next moves: a move takes about 1 ms here.
			await platform.clock.sleep((random.nextU32() % 5000) / 1000);
			counter.process.kill("SIGKILL");
			await counter.finished;
			assert.is((await counter.process.ended).signal, "SIGKILL", counter.process.errorText());
			acknowledged = Math.max(acknowledged, ...counter.won);
			const store = await platform.openFolderStore(folder);
			const found = readCounter(await store.readReference("counter"));
			assert.ok(
				found === acknowledged || found === acknowledged + 1,
				`${acknowledged} was acknowledged, found ${found}`,
			);
			acknowledged = found;
			for (const number of counter.won)
				assert.equal(await store.get(`${number}-${counter.process.pid}`), objectBytes(number));
			assert.equal(await runtime.names(`${folder}/temporary`), [], "leftovers of the killed writer");
		}
		const store = await platform.openFolderStore(folder);
		for (const name of await store.list(""))
			assert.equal(await store.get(name), objectBytes(Number.parseInt(name, 10)), name);
	});

	check(`racing processes of which some are killed never win a number twice (seed ${SEED})`, async (folder) => {
		const random = new SeededRandom(SEED);
		const all: Counter[] = [];
		let running = await Promise.all([0, 1, 2].map((index) => counterOf(index, folder, 1_000_000)));
		all.push(...running);
		const kills = 15;
		for (let kill = 0; kill < kills; kill++) {
			const victim = running[random.nextU32() % running.length];
			if (victim === undefined) break;
			await victim.started;
			await platform.clock.sleep((random.nextU32() % 4000) / 1000);
			victim.process.kill("SIGKILL");
			const replacement = await counterOf(kill, folder, 1_000_000);
			all.push(replacement);
			running = running.map((counter) => (counter === victim ? replacement : counter));
		}
		for (const { process } of running) process.kill("SIGKILL");
		await Promise.all(all.map(({ finished }) => finished));
		const won = all.flatMap((counter) => counter.won);
		assert.is(new Set(won).size, won.length, "a number was won twice");
		const store = await platform.openFolderStore(folder);
		const found = readCounter(await store.readReference("counter"));
		assert.ok(won.every((number) => number <= found));
		// A kill can hide at most one move that was made and not reported.
		const hidden = found - won.length;
		assert.ok(hidden >= 0 && hidden <= kills + running.length, `${hidden} moves without a report`);
		assert.equal(await runtime.names(`${folder}/temporary`), []);
	});
}
