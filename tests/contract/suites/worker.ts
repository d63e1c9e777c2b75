// What every WorkerPort keeps; its workers run `tests/programs/echo.ts`.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { WorkerPort, WorkerThread } from "../../../bindings/ports/worker.ts";
import type { EchoRequest } from "../../programs/echo.ts";
import type { TestRuntime } from "./test-runtime.ts";

/** A worker whose messages and end can be awaited. */
class Conversation {
	readonly thread: WorkerThread;
	readonly ends: unknown[] = [];
	readonly ended: Promise<unknown>;
	readonly #messages: unknown[] = [];
	#wake = () => {};

	constructor(workers: WorkerPort) {
		this.thread = workers.start("wasm-guest");
		this.thread.onMessage = (message) => {
			this.#messages.push(message);
			this.#wake();
		};
		this.ended = new Promise((resolve) => {
			this.thread.onEnd = (error) => {
				this.ends.push(error);
				resolve(error);
			};
		});
	}

	ask(request: EchoRequest, transfer?: readonly ArrayBuffer[]): void {
		this.thread.post(request, transfer);
	}

	async answer(): Promise<unknown> {
		if (this.#messages.length === 0)
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		return this.#messages.shift();
	}
}

/** Adds the contract's tests to `test`. */
export function workerContract(test: ReturnType<typeof suite>, workers: WorkerPort, runtime: TestRuntime): void {
	const check = (name: string, body: (worker: Conversation) => Promise<void>) =>
		test(name, async () => {
			const worker = new Conversation(workers);
			try {
				await body(worker);
			} finally {
				await worker.thread.terminate();
			}
		});

	check("messages come back in order, those posted before the worker was ready included", async (worker) => {
		for (let index = 0; index < 100; index++) worker.ask({ ask: "echo", value: { index, at: [index, "x"] } });
		for (let index = 0; index < 100; index++) assert.equal(await worker.answer(), { index, at: [index, "x"] });
	});

	check("a transferred buffer moves without a copy, there and back", async (worker) => {
		const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
		worker.ask({ ask: "give back", buffer }, [buffer]);
		assert.is(buffer.byteLength, 0, "it is detached here");
		const back = await worker.answer();
		assert.instance(back, ArrayBuffer);
		assert.equal(new Uint8Array(back as ArrayBuffer), new Uint8Array([1, 2, 3, 4]));
		assert.is(await worker.answer(), 0, "it is detached there");
	});

	check("shared memory is shared", async (worker) => {
		const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
		worker.ask({ ask: "echo", value: memory.buffer });
		const back = await worker.answer();
		new Uint8Array(memory.buffer)[5] = 9;
		assert.is(new Uint8Array(back as SharedArrayBuffer)[5], 9);
	});

	check("the worker has a clock of its own, and turns of its event loop", async (worker) => {
		worker.ask({ ask: "sleep", durationMs: 3 });
		worker.ask({ ask: "sleep", durationMs: 0 });
		const [zero, three] = [Number(await worker.answer()), Number(await worker.answer())];
		assert.ok(zero >= 0 && three >= 3, `${zero} ms, ${three} ms`);
	});

	check("the worker loads a program by its URL", async (worker) => {
		const folder = await runtime.temporaryFolder();
		await runtime.writeFile(`${folder}/program.mjs`, new TextEncoder().encode("export const answer = 6 * 7;"));
		worker.ask({ ask: "load", url: new URL(`file://${folder}/program.mjs`).href });
		assert.is(await worker.answer(), 42);
		await runtime.removeFolder(folder);
	});

	for (const ask of ["throw", "reject"] as const)
		check(`a worker that fails (${ask}) says so once, with its error`, async (worker) => {
			worker.ask({ ask });
			const error = await worker.ended;
			assert.match(String(error), ask === "throw" ? /the worker threw/ : /rejected/);
			worker.ask({ ask: "echo", value: "is anybody there?" });
			await worker.thread.terminate();
			assert.is(worker.ends.length, 1);
		});

	check("a program that cannot be loaded is the worker's failure, not ours", async (worker) => {
		worker.ask({ ask: "load", url: runtime.programUrl("no-such-program").href });
		assert.match(String(await worker.ended), /no-such-program/);
	});

	check("a terminated worker is no failure, even a busy one, and takes no more messages", async (worker) => {
		worker.ask({ ask: "spin" });
		assert.is(await worker.answer(), "spinning");
		await worker.thread.terminate();
		await worker.thread.terminate();
		worker.ask({ ask: "echo", value: "too late" });
		assert.equal(worker.ends, []);
	});

	test("a worker whose module does not exist fails", async () => {
		const nowhere = new Conversation({ start: () => runtime.workerOf("no-such-module") });
		assert.ok((await nowhere.ended) !== undefined);
		await nowhere.thread.terminate();
		assert.is(nowhere.ends.length, 1);
	});
}
