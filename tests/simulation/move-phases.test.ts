/**
 * Every kind of end at every phase of a move, in virtual time: whatever happens, the caller is told who owns the guest,
 * and never do two copies run.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MOVE_PHASES, type MovePhase } from "../../bindings/handover/move-error.ts";
import type { MoveResult } from "../../bindings/migration/move.ts";
import { World } from "./world.ts";

const test = suite("moves cut off at every phase");

/** Phases that stop-and-copy and pre-copy pass, in order; `check` is over before anything is sent. */
const PASSED: readonly MovePhase[] = MOVE_PHASES.filter((phase) => phase !== "check");
const BEFORE_GO = PASSED.filter((phase) => phase !== "go" && phase !== "confirm");

const errorCode = (result: MoveResult): string => (result.outcome === "moved" ? "none" : result.error.code);

async function settle(world: World): Promise<void> {
	await Promise.all(world.receptions);
	await world.clock.sleep(100);
}

for (const technique of ["stop-and-copy", "pre-copy"] as const) {
	const phases = technique === "pre-copy" ? BEFORE_GO : BEFORE_GO.filter((phase) => phase !== "live");

	test(`${technique} passes its phases in order and moves the guest`, async () => {
		const world = new World({ seed: 1 });
		await world.run(async () => {
			const result = await world.move(technique);
			assert.is(result.outcome, "moved");
			const [received] = await Promise.all(world.receptions);
			assert.is(received?.outcome, "running");
			assert.equal(world.phases, [...PASSED.filter((phase) => phase !== "live" || technique === "pre-copy"), "done"]);
			assert.is(world.runners.length, 1);
			assert.is.not(world.runners[0], world.guest);
			await world.clock.sleep(20);
		});
		assert.equal(world.violations, []);
	});

	for (const phase of phases) {
		test(`${technique} cancelled in ${phase} keeps the guest running at the source`, async () => {
			const world = new World({ seed: 2 });
			const stop = new AbortController();
			await world.run(async () => {
				const result = await world.move(technique, { signal: stop.signal }, { phase, event: () => stop.abort() });
				assert.is(result.outcome, "kept");
				assert.is(errorCode(result), "cancelled");
				assert.is(result.outcome === "kept" && result.error.phase, phase);
				assert.equal(world.runners, [world.guest]);
				await settle(world);
				const [received] = await Promise.all(world.receptions);
				assert.is(received?.outcome, "discarded");
			});
			assert.equal(world.violations, []);
		});

		test(`${technique} keeps the source running when the link drops in ${phase}`, async () => {
			const world = new World({ seed: 3 });
			await world.run(async () => {
				const result = await world.move(
					technique,
					{},
					{ phase, event: () => world.connection.inject({ kind: "cut", when: { atMs: 0 } }) },
				);
				assert.is(result.outcome, "kept");
				assert.is(errorCode(result), "link-lost");
				await settle(world);
				assert.equal(world.runners, [world.guest]);
			});
			assert.equal(world.violations, []);
		});

		test(`${technique} keeps the source running when the target freezes in ${phase}, within the phase's deadline`, async () => {
			const world = new World({ seed: 4 });
			await world.run(async () => {
				const freeze = () =>
					world.connection.inject({
						kind: "freeze",
						when: { atMs: 0 },
						end: "b",
						durationMs: Number.POSITIVE_INFINITY,
					});
				const started = world.clock.now();
				const result = await world.move(technique, {}, { phase, event: freeze });
				const took = world.clock.now() - started;
				// A frozen target in `release` has said ready already: the source goes on to go, and cannot know.
				assert.is(result.outcome, phase === "release" ? "unconfirmed" : "kept");
				assert.is(errorCode(result), "deadline");
				assert.ok(took <= 62_000, `${took} ms`);
				if (phase === "release") assert.is((await world.resolve()).outcome, "kept");
				assert.equal(world.runners, [world.guest]);
			});
			assert.equal(world.violations, []);
		});
	}

	test(`${technique} that loses its link before go has left keeps the guest`, async () => {
		const world = new World({ seed: 5 });
		await world.run(async () => {
			const cut = () => world.connection.inject({ kind: "cut", when: { atMs: 0 } });
			const result = await world.move(technique, {}, { phase: "go", event: cut });
			assert.is(result.outcome, "kept");
			assert.equal(world.runners, [world.guest]);
			await settle(world);
		});
		assert.equal(world.violations, []);
	});

	for (const durable of [false, true]) {
		const ledger = durable ? "durable ledgers" : "ledgers in memory";
		test(`${technique} that loses its link after go is settled by asking, with ${ledger}`, async () => {
			const world = new World({ seed: 5, durable });
			await world.run(async () => {
				const cut = () => world.connection.inject({ kind: "cut", when: { atMs: 0 } });
				const result = await world.move(technique, {}, { phase: "confirm", event: cut });
				assert.is(result.outcome, "unconfirmed");
				assert.ok(world.runners.length <= 1);
				const resolution = await world.resolve();
				assert.is.not(resolution.outcome, "unconfirmed");
				assert.is(world.runners.length, 1);
				assert.is(world.runners[0] === world.guest, resolution.outcome === "kept");
			});
			assert.equal(world.violations, []);
		});

		test(`${technique} whose target restarts after go is settled only as far as anyone knows, with ${ledger}`, async () => {
			const world = new World({ seed: 6, durable });
			await world.run(async () => {
				const crash = () => {
					world.connection.inject({ kind: "cut", when: { atMs: 0 } });
					world.restartTarget();
				};
				const result = await world.move(technique, {}, { phase: "confirm", event: crash });
				assert.is(result.outcome, "unconfirmed");
				const resolution = await world.resolve();
				// Without a store the restarted target cannot know: nothing activates by guessing.
				assert.is(resolution.outcome, durable ? "kept" : "unconfirmed");
				assert.is(world.runners.length, durable ? 1 : 0);
			});
			assert.equal(world.violations, []);
		});
	}
}

test("a caller cannot cancel a move after go", async () => {
	const world = new World({ seed: 7 });
	const stop = new AbortController();
	await world.run(async () => {
		const result = await world.move(
			"pre-copy",
			{ signal: stop.signal },
			{ phase: "confirm", event: () => stop.abort() },
		);
		assert.is(result.outcome, "moved");
		await settle(world);
		assert.is(world.runners.length, 1);
	});
	assert.equal(world.violations, []);
});

test("a second attempt after a failed one moves the guest", async () => {
	const world = new World({ seed: 8 });
	await world.run(async () => {
		const cut = () => world.connection.inject({ kind: "cut", when: { atMs: 0 } });
		assert.is((await world.move("pre-copy", { moveId: "first" }, { phase: "live", event: cut })).outcome, "kept");
		world.reconnect();
		assert.is((await world.move("pre-copy", { moveId: "second" })).outcome, "moved");
		await settle(world);
		assert.is(world.runners.length, 1);
	});
	assert.equal(
		world.violations.filter((line) => !line.startsWith("progress")),
		[],
	);
});

test("two moves of one guest at a time are refused", async () => {
	const world = new World({ seed: 9 });
	await world.run(async () => {
		const first = world.move("pre-copy");
		await world.clock.sleep(2);
		world.reconnect();
		assert.instance(await world.move("pre-copy", { moveId: "m2" }).catch((error: unknown) => error), TypeError);
		assert.is((await first).outcome, "moved");
		for (const copy of world.copies.slice(1)) if (!copy.running) await copy.discard();
	});
	assert.equal(world.violations, []);
});

test("a used move id is refused by both sides", async () => {
	const world = new World({ seed: 10 });
	await world.run(async () => {
		const cut = () => world.connection.inject({ kind: "cut", when: { atMs: 0 } });
		assert.is((await world.move("pre-copy", {}, { phase: "live", event: cut })).outcome, "kept");
		await settle(world);
		world.reconnect();
		const again = await world.move("pre-copy");
		assert.is(again.outcome, "kept");
		assert.is(errorCode(again), "store");
	});
	assert.equal(
		world.violations.filter((line) => !line.startsWith("progress")),
		[],
	);
});

test("a guest that grows while it moves arrives whole", async () => {
	const world = new World({ seed: 11 });
	await world.run(async () => {
		const result = await world.move(
			"pre-copy",
			{},
			{ phase: "live", event: () => world.guest.growMemory(world.guest.pageCount + 5) },
		);
		assert.is(result.outcome, "moved");
		await settle(world);
		assert.is(world.runners[0]?.pageCount, 53);
	});
	assert.equal(world.violations, []);
});

test("a total-time limit cancels a move or switches it over, as the caller wants", async () => {
	const cancelled = new World({ seed: 12, writesPerMs: 40 });
	await cancelled.run(async () => {
		const result = await cancelled.move("pre-copy", {
			totalTime: { limitMs: 60, onLimit: "cancel" },
			convergence: () => undefined,
		});
		assert.is(result.outcome, "kept");
		assert.is(errorCode(result), "total-time");
		assert.equal(cancelled.runners, [cancelled.guest]);
		await settle(cancelled);
	});
	const switched = new World({ seed: 12, writesPerMs: 40 });
	await switched.run(async () => {
		const result = await switched.move("pre-copy", {
			totalTime: { limitMs: 60, onLimit: "switch-over" },
			convergence: () => undefined,
		});
		assert.is(result.outcome, "moved");
		assert.is(result.metrics.stopReason, "total-time-limit");
		await settle(switched);
	});
	assert.equal([...cancelled.violations, ...switched.violations], []);
});

test("a bandwidth cap is kept while live", async () => {
	const world = new World({ seed: 13, rateBytesPerMs: 100_000 });
	await world.run(async () => {
		const result = await world.move("pre-copy", { bandwidthBytesPerMs: 1000 });
		assert.is(result.outcome, "moved");
		const [first] = result.metrics.rounds;
		assert.ok(
			first !== undefined && first.sentBytes / first.durationMs <= 1300,
			`${first?.sentBytes} bytes in ${first?.durationMs} ms`,
		);
		await settle(world);
	});
	assert.equal(world.violations, []);
});

test.run();
