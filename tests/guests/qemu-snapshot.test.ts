// Snapshots of machines under QEMU: every way to take them, restored in another QEMU, where the machine goes on counting.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { startHistory } from "../../bindings/snapshot/history.ts";
import { keepSnapshots } from "../../bindings/snapshot/keeper.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { improvedLiveSave, liveSave } from "../../bindings/snapshot/live-save.ts";
import { type RestoreOptions, restore, restoreClones } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { saveTo, sendSnapshot } from "../../bindings/snapshot/save-to.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { oracleComplaint } from "../qemu/counter-sector.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: snapshots");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;
/** Nobody in the machine listens: its clock stands still in between, and it draws no numbers. */
const POLICY: RestoreOptions = { clock: "continue", random: "keep" };
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());

	const open = () => {
		const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
		const services = async (id: string) => ({
			...{ snapshot: await store.open(id), factories: [await stage.factory()], clock, random },
		});
		return { store, services };
	};

	/** The restored machine is as it was at one moment, and goes on from there. @returns the last count before that moment */
	const checkRestored = async (guest: unknown): Promise<number> => {
		// allowed (cast): the only factory is QEMU's
		const copy = stage.keep(guest as QemuGuest);
		// Its console begins with it: what it has said first is what it said after that moment.
		for (let said = 0; said < 2; said++) await nextLine(copy, isCount);
		const counts = copy.console.recent.filter(isCount).map((line) => Number.parseInt(line, 16));
		for (let i = 1; i < counts.length; i++) assert.is(counts[i], counts[i - 1]! + 1);
		await copy.pause({ deadlineMs: 10_000 });
		assert.is(oracleComplaint(await stage.counted(copy)), undefined);
		await copy.discard();
		return counts[0]! - 1;
	};
	const counted = (guest: QemuGuest): number => Number.parseInt(guest.console.recent.filter(isCount).at(-1)!, 16);

	for (const [name, technique] of [
		["save", save],
		["live save", liveSave],
		["improved live save", improvedLiveSave],
	] as const)
		test(`${name}: the machine goes on, and so does a copy from where it was saved`, async () => {
			const { store, services } = open();
			const guest = await stage.startCounter();
			const before = counted(guest);
			const { snapshot, metrics } = await technique({ guest, store, clock });
			assert.is(metrics.verification, guest.dirty.tracker === "scan" ? "full" : "transport");
			const after = counted(guest);
			await nextLine(guest, isCount);
			const { guest: copy } = await restore(await services(snapshot.id), POLICY);
			const at = await checkRestored(copy);
			assert.ok(at >= before - 1 && at <= after + 1, `${before} … ${at} … ${after}`);
		});

	test("increments of a series are small, and each is whole", async () => {
		const { store, services } = open();
		const guest = await stage.startCounter();
		const series = await SnapshotSeries.open({ guest, store, clock });
		const taken = [];
		for (let i = 0; i < 3; i++) {
			taken.push(await series.liveSave());
			await nextLine(guest, isCount);
		}
		await series.close();
		assert.equal(
			taken.map(({ metrics }) => metrics.incremental),
			[false, true, true],
		);
		let last = 0;
		for (const { snapshot } of taken) {
			const { guest: copy } = await restore(await services(snapshot.id), POLICY);
			const at = await checkRestored(copy);
			assert.ok(at > last, `${last} then ${at}`);
			last = at;
		}
	});

	test("a history goes back twice: the machine counts on from where it was, and the one of now is gone", async () => {
		const { store } = open();
		const begin = async (guest: QemuGuest) => {
			const failures: unknown[] = [];
			const history = await startHistory(
				{ guest, store, clock },
				{ everyMs: 50, keep: { ageMs: 600_000 }, onFailure: (error) => failures.push(error) },
			);
			return { guest, history, failures };
		};
		let { guest, history, failures } = await begin(await stage.startCounter());
		for (let time = 0; time < 2; time++) {
			const { snapshot } = await history.now({ label: "good" });
			const at = counted(guest);
			for (let said = 0; said < 4; said++) await nextLine(guest, isCount);
			const later = counted(guest);
			const services = { factories: [await stage.factory()], random };
			const { guest: again } = await history.rewind(snapshot.id, services, POLICY);
			assert.equal(failures, []);
			assert.is((await history.ended).reason, "stopped");
			assert.is((await rejection(guest.resume())).code, "gone");
			// allowed (cast): the only factory is QEMU's
			const back = stage.keep(again as QemuGuest);
			// Its console begins with it; a line that the snapshot cut in two is whole on neither console, so two may follow.
			for (let said = 0; said < 2; said++) await nextLine(back, isCount);
			const first = Number.parseInt(back.console.recent.find(isCount)!, 16);
			assert.ok(first <= at + 2 && first < later, `saved by ${at}, left at ${later}, begins with ${first}`);
			({ guest, history, failures } = await begin(back));
		}
		await history.now();
		await history.stop();
		await checkRestored(guest);
	});

	test("two copies of one snapshot run side by side", async () => {
		const { store, services } = open();
		const guest = await stage.startCounter();
		const { snapshot } = await save({ guest, store, clock }, { stayPaused: true });
		const clones = await restoreClones(await services(snapshot.id), 2, POLICY);
		for (const { guest: copy } of clones) stage.keep(copy);
		const at = [];
		for (const { guest: copy } of clones) at.push(await checkRestored(copy));
		assert.is(at[0], at[1]);
		await guest.resume();
		await nextLine(guest, isCount);
	});

	test("a snapshot is kept at another host while the machine runs on", async () => {
		const { store, services } = open();
		const guest = await stage.startCounter();
		const [near, far] = openLinkPair();
		const keeping = keepSnapshots({ link: far, store, clock });
		const { snapshot } = await saveTo({ guest, link: near, clock });
		await keeping;
		await nextLine(guest, isCount);
		const { guest: copy } = await restore(await services(snapshot.id), POLICY);
		await checkRestored(copy);
	});

	test("a snapshot that lies in a store here is sent to another host, and the machine goes on from it there", async () => {
		const { store } = open();
		const there = open();
		const guest = await stage.startCounter();
		const { snapshot } = await liveSave({ guest, store, clock });
		const at = counted(guest);
		await guest.discard();
		const [near, far] = openLinkPair();
		const keeping = keepSnapshots({ link: far, store: there.store, clock });
		const sent = await sendSnapshot({ snapshot: await store.open(snapshot.id), link: near, clock });
		const { snapshots, error } = await keeping;
		assert.is(error, undefined);
		assert.equal(
			snapshots.map(({ id }) => id),
			[sent.id],
		);
		assert.is(sent.digest, snapshot.digest);
		const { guest: copy } = await restore(await there.services(sent.id), POLICY);
		assert.ok((await checkRestored(copy)) <= at + 1);
	});

	test("a lazy restore is refused by name: QEMU cannot wait for pages", async () => {
		const { store, services } = open();
		const guest = await stage.startCounter();
		const { snapshot } = await save({ guest, store, clock });
		const { code, message } = await rejection(lazyRestore(await services(snapshot.id), POLICY));
		assert.is(code, "refused");
		assert.match(message, /cannot wait for pages/);
	});

	test("a QEMU that dies while it is saved leaves no snapshot", async () => {
		const { store } = open();
		const guest = await stage.startCounter();
		const saving = rejection(
			liveSave(
				{ guest, store, clock },
				{
					onProgress: ({ phase }) => {
						if (phase === "final-round") platform.files.kill(guest.pid);
					},
				},
			),
		);
		const { code } = await saving;
		assert.ok(["guest", "gone", "crashed"].includes(code), code);
		assert.equal(await store.list(), []);
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
