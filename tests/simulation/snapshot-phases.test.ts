// Every phase of a save × everything that can end it there: the guest runs on, nothing half is visible, the next snapshot
// of the series loses nothing. Then the same with faults drawn over the writes of the disk.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { SAVE_PHASES, SaveError, type SaveErrorCode, type SavePhase } from "../../bindings/snapshot/save-error.ts";
import type { SaveOptions } from "../../bindings/snapshot/saving.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { type Copies, makeCopying } from "./copies.ts";
import { type DiskFault, isSame, PAGES, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots: cut off at every phase");

type Technique = "save" | "liveSave" | "improvedLiveSave";
const DEADLINES = { beginMs: 500, pauseMs: 500, stateMs: 500, stallMs: 500, commitMs: 500, turnMs: 500 };

/** Makes it happen. @returns what undoes it. */
type Event = (world: SnapshotWorld, stop: AbortController) => (() => void) | undefined;

const faulty =
	(fault: DiskFault): Event =>
	({ disk }) => {
		disk.fault = () => fault;
		return () => {
			disk.fault = () => undefined;
		};
	};

/** What happens, and the codes that a save may fail with then. */
interface Ending {
	readonly codes: readonly SaveErrorCode[];
	readonly begin: Event;
}

const ENDINGS: Readonly<Record<string, Ending>> = {
	"the caller cancels": { codes: ["cancelled"], begin: (_, stop) => void stop.abort() },
	"the disk is full": { codes: ["full"], begin: faulty("full") },
	"the disk fails": { codes: ["store"], begin: faulty("failed") },
	"the disk stalls": { codes: ["deadline", "unconfirmed"], begin: faulty("stall") },
	"the state cannot be captured": {
		codes: ["guest"],
		begin: ({ guest }) => {
			const { state } = guest;
			const { capture } = state;
			state.capture = () => Promise.reject(new GuestError("state", "a table of foreign functions"));
			return () => {
				state.capture = capture;
			};
		},
	},
	"the guest cannot be encoded": {
		codes: ["guest"],
		begin: ({ guest }) => {
			const { pages } = guest;
			const { encode } = pages;
			pages.encode = () => Promise.reject(new GuestError("state", "the encoder has no memory"));
			return () => {
				pages.encode = encode;
			};
		},
	},
};

/** A save that meets an event when it enters a phase (or has ended in spite of it). */
async function cutOff(
	world: SnapshotWorld,
	series: SnapshotSeries,
	technique: Technique,
	phase: SavePhase,
	begin: Event,
): Promise<{ readonly id: string } | { readonly error: SaveError }> {
	const stop = new AbortController();
	let hasHappened = false;
	let undo: ReturnType<Event>;
	const options: SaveOptions = {
		signal: stop.signal,
		deadlines: DEADLINES,
		onProgress: (progress) => {
			if (progress.phase !== phase || hasHappened) return;
			hasHappened = true;
			undo = begin(world, stop);
		},
	};
	try {
		const { snapshot } = await series[technique](options);
		return { id: snapshot.id };
	} catch (error) {
		assert.instance(error, SaveError, String(error));
		assert.ok(hasHappened || phase === "live", "nothing happened");
		return { error: error as SaveError };
	} finally {
		undo?.();
	}
}

/** A series of which one snapshot meets an event, and those before and after it do not suffer. */
async function cutOffAndGoOn(
	world: SnapshotWorld,
	technique: Technique,
	phase: SavePhase,
	{ codes, begin }: Ending,
): Promise<void> {
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		const first = await series.save();
		const firstMemory = world.lastPause.memory;
		await world.clock.sleep(10);
		const result = await cutOff(world, series, technique, phase, begin);
		assert.ok(world.guest.running, "the guest runs on");
		const visible = (await world.store.list()).map(({ id }) => id);
		if ("error" in result) {
			assert.ok(codes.includes(result.error.code), `${result.error.code}: ${result.error.message}`);
			assert.equal(visible, [first.snapshot.id]);
		} else {
			assert.equal(visible, [first.snapshot.id, result.id]);
			assert.ok(isSame((await world.contentOf(result.id)).memory, world.lastPause.memory), "what came through");
		}
		const next = await series.liveSave();
		assert.ok(isSame((await world.contentOf(next.snapshot.id)).memory, world.lastPause.memory), "the next one");
		assert.ok(isSame((await world.contentOf(first.snapshot.id)).memory, firstMemory), "the one before");
		await series.close();
	});
}

for (const technique of ["save", "liveSave", "improvedLiveSave"] as const)
	for (const phase of SAVE_PHASES.filter((name) => name !== "live" || technique !== "save"))
		for (const [ending, event] of Object.entries(ENDINGS))
			test(`${technique}, ${phase}: ${ending}`, () => cutOffAndGoOn(new SnapshotWorld(7), technique, phase, event));

/** A world whose guest is only copied in the pause. */
function copyingWorld(mostPages: number): { readonly world: SnapshotWorld; readonly copies: Copies } {
	const world = new SnapshotWorld(7);
	return { world, copies: makeCopying(world.guest, mostPages) };
}

for (const mostPages of [PAGES, 2])
	for (const phase of SAVE_PHASES) {
		for (const [ending, event] of Object.entries(ENDINGS))
			test(`liveSave by copies of ${mostPages} pages, ${phase}: ${ending}`, async () => {
				const { world, copies } = copyingWorld(mostPages);
				await cutOffAndGoOn(world, "liveSave", phase, event);
				assert.is(copies.held, 0, "every copy is released");
			});
		test(`liveSave by copies of ${mostPages} pages, ${phase}: the copies cannot be encoded`, async () => {
			const { world, copies } = copyingWorld(mostPages);
			const begin = (): (() => void) => {
				copies.fault = new GuestError("state", "the encoder has no memory");
				return () => {
					copies.fault = undefined;
				};
			};
			await cutOffAndGoOn(world, "liveSave", phase, { codes: ["guest"], begin });
			assert.is(copies.held, 0, "every copy is released");
		});
	}

test("what is copied in the pause is encoded when the guest runs on; more than a copy holds, in the pause", async () => {
	for (const mostPages of [PAGES, 1]) {
		const { world, copies } = copyingWorld(mostPages);
		await world.run(async () => {
			const series = await SnapshotSeries.open(world.services);
			await series.liveSave();
			const { pause } = world.guest;
			world.guest.pause = async () => {
				for (const page of [3, 5, 6]) world.guest.write(page * PAGE_BYTES, Uint8Array.of(page));
				await pause.call(world.guest);
			};
			const { snapshot, metrics } = await series.liveSave();
			assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
			assert.is(metrics.rounds.at(-1)!.sentPages, 3);
			assert.is(copies.copiedPages, mostPages === PAGES ? 3 : 0);
			assert.is(copies.encodedRunning, copies.copiedPages);
			await series.close();
		});
		assert.is(copies.held, 0);
	}
});

for (const slow of ["pages", "state"] as const)
	test(`a copy of ${slow} that comes when the save has been cancelled is released`, async () => {
		const { world, copies } = copyingWorld(PAGES);
		const { pause } = world.guest;
		world.guest.pause = async () => {
			world.guest.write(0, Uint8Array.of(1));
			await pause.call(world.guest);
		};
		await world.run(async () => {
			const stop = new AbortController();
			copies.waits = async (of) => {
				if (of !== slow) return;
				await world.clock.sleep(1);
				stop.abort();
				await world.clock.sleep(5);
			};
			const error = await liveSave(world.services, { signal: stop.signal }).catch((failure) => failure);
			assert.is(error.code, "cancelled");
			assert.ok(world.guest.running);
			await world.clock.sleep(10);
			assert.is(copies.held, 0);
		});
	});

test("full verification looks at the paused guest: nothing is put off", async () => {
	const { world, copies } = copyingWorld(PAGES);
	await world.run(async () => {
		const { snapshot } = await liveSave(world.services, { verification: "full" });
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		assert.is(copies.copiedPages, 0);
	});
});

test("a guest that reaches no pause point runs on, and the save says so", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const { pause } = world.guest;
		world.guest.pause = () => Promise.reject(new GuestError("pause-deadline", "a long call"));
		const series = await SnapshotSeries.open(world.services);
		const error = await series.liveSave().catch((failure) => failure);
		assert.is(error.code, "guest");
		assert.is(error.phase, "pause");
		assert.ok(world.guest.running);
		world.guest.pause = pause;
		const { snapshot } = await series.liveSave();
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		await series.close();
	});
});

test("a guest that is discarded meanwhile ends the save with gone", async () => {
	for (const phase of ["live", "pause", "final-round", "state"] as const) {
		const world = new SnapshotWorld(1);
		await world.run(async () => {
			const series = await SnapshotSeries.open(world.services);
			const result = await cutOff(world, series, "liveSave", phase, () => {
				void world.guest.discard();
				return undefined;
			});
			assert.is("error" in result && result.error.code, "gone", phase);
			assert.equal(await world.store.list(), []);
			await series.close();
		});
	}
});

test("a total-time limit cancels, or ends the rounds", async () => {
	const world = new SnapshotWorld(1);
	world.writesPerMs = 20;
	await world.run(async () => {
		const options = { bandwidthBytesPerMs: 4000, convergence: () => undefined } as const;
		const series = await SnapshotSeries.open(world.services);
		const cancelled = await series
			.liveSave({ ...options, totalTime: { limitMs: 30, onLimit: "cancel" } })
			.catch((error) => error);
		assert.is(cancelled.code, "total-time");
		const { snapshot, metrics } = await series.liveSave({ ...options, totalTime: { limitMs: 30, onLimit: "finish" } });
		assert.is(metrics.stopReason, "total-time-limit");
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		await series.close();
	});
});

test.run();
