// QEMU is killed while it is moved or saved: at every phase, and at moments that are drawn. Whatever was reached, at most one
// machine runs, the caller is told who has it, errors are of our own types, and nothing is left.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import { MOVE_PHASES, MoveError, type MovePhase } from "../../bindings/handover/move-error.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import type { GuestFactory } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SAVE_PHASES, SaveError, type SavePhase } from "../../bindings/snapshot/save-error.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { oracleComplaint } from "../qemu/counter-sector.ts";
import { nextLine, openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: killed on the way");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);
/** A kill comes up to so long after the phase has begun, in ms. */
const LATEST_MS = 12;

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());
	const seed = random.nextU32();
	console.log(`seed ${seed}`);
	const drawn = new SeededRandom(seed);
	const draw = (below: number): number => drawn.nextU32() % below;

	/** Kills once, some time after that phase has begun. */
	const killer = <Phase extends string>(at: Phase, afterMs: number, pid: () => number | undefined) => {
		let done: Promise<void> | undefined;
		return {
			onProgress: ({ phase }: { readonly phase: Phase | "done" }): void => {
				if (phase !== at || done !== undefined) return;
				const kill = (): void => {
					const victim = pid();
					if (victim !== undefined) platform.files.kill(victim);
				};
				done = afterMs === 0 ? Promise.resolve(kill()) : clock.sleep(afterMs).then(kill);
			},
			killed: () => done,
		};
	};

	/** One move, and one kill. */
	const move = async (side: "source" | "target", phase: MovePhase, afterMs: number): Promise<void> => {
		const what = `${side} killed ${afterMs} ms after '${phase}' (seed ${seed})`;
		const factory = await stage.factory();
		const source = await stage.startCounter();
		let target: QemuGuest | undefined;
		const noting: GuestFactory = {
			kind: "qemu",
			check: (...args) => factory.check(...args),
			missing: () => factory.missing(),
			setUp: async (...args) => {
				const prepared = await factory.setUp(...args);
				target = stage.keep(prepared.guest);
				return prepared;
			},
		};
		const kill = killer<MovePhase>(phase, afterMs, () => (side === "source" ? source : target)?.pid);
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [noting], clock });
		const result = await preCopy({ guest: source, link: near, clock, random }, { onProgress: kill.onProgress });
		await kill.killed();
		const received = await receiving;
		if (result.outcome !== "moved") assert.instance(result.error, MoveError, what);
		// At most one runs: what the source has given up it cannot let run again.
		if (received.outcome === "running") assert.is.not(result.outcome, "kept", what);
		if (result.outcome === "kept" && source.crashed === undefined && side === "target") await nextLine(source, isCount);
		if (side === "source" && received.outcome === "running") {
			// It was killed too late to matter.
			await nextLine(target!, isCount);
			await target!.pause({ deadlineMs: 10_000 });
			assert.is(oracleComplaint(await stage.counted(target!)), undefined, what);
		}
		if (side === "source" && result.outcome === "moved") assert.is(received.outcome, "running", what);
		assert.equal(await stage.clear(), [], what);
	};

	/** One live save, and one kill. */
	const save = async (phase: SavePhase, afterMs: number): Promise<void> => {
		const what = `killed ${afterMs} ms after '${phase}' (seed ${seed})`;
		const store = new SnapshotStore(new MemoryStore(), { clock, random });
		const guest = await stage.startCounter();
		const kill = killer<SavePhase>(phase, afterMs, () => guest.pid);
		const outcome = await liveSave({ guest, store, clock }, { onProgress: kill.onProgress }).then(
			({ snapshot }) => snapshot.id,
			(error: unknown) => error,
		);
		await kill.killed();
		await guest.discard();
		const ids = (await store.list()).map(({ id }) => id);
		if (outcome instanceof Error) {
			assert.instance(outcome, SaveError, what);
			assert.equal(ids, [], what);
		} else {
			// It was saved before.
			assert.equal(ids, [outcome], what);
			const services = {
				snapshot: await store.open(String(outcome)),
				factories: [await stage.factory()],
				clock,
				random,
			};
			const { guest: copy } = await restore(services, { clock: "continue", random: "keep" });
			// allowed (cast): the only factory is QEMU's
			await nextLine(stage.keep(copy as QemuGuest), isCount);
		}
		assert.equal(await stage.clear(), [], what);
	};

	for (const side of ["source", "target"] as const)
		test(`pre-copy: the ${side}'s QEMU dies as each phase begins`, async () => {
			for (const phase of MOVE_PHASES) await move(side, phase, 0);
		});

	test("pre-copy: QEMU dies at moments that are drawn, on both sides", async () => {
		for (let time = 0; time < 4; time++)
			await move(time % 2 === 0 ? "source" : "target", MOVE_PHASES[draw(MOVE_PHASES.length)]!, 1 + draw(LATEST_MS));
	});

	test("live save: QEMU dies as each phase begins, and at moments that are drawn", async () => {
		for (const phase of SAVE_PHASES) await save(phase, 0);
		for (let time = 0; time < 2; time++) await save(SAVE_PHASES[draw(SAVE_PHASES.length)]!, 1 + draw(LATEST_MS));
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
