import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { oracleComplaint } from "../qemu/counter-sector.ts";
import { gapIn, JoinedConsole, moveTo } from "../qemu/moves.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: moves");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;

const count = (line: string): number => Number.parseInt(line, 16);
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());

	/** Everything that the machine has said so far, and a while longer. */
	const follow = async (guest: QemuGuest, lines: number): Promise<number[]> => {
		for (let i = 0; i < lines; i++) await nextLine(guest, isCount);
		return guest.console.recent.filter(isCount).map(count);
	};

	for (const [name, technique] of [
		["stop-and-copy", stopAndCopy],
		["pre-copy", preCopy],
	] as const)
		test(`${name}: the counted bytes have one edge at most, and the count goes on without a gap`, async () => {
			const factory = await stage.factory();
			const source = await stage.startCounter();
			const { result, target } = await moveTo(platform, factory, source, technique);
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
			stage.keep(target!);
			const before = source.console.recent.filter(isCount).map(count);
			const after = await follow(target!, 5);
			// The line that was on its way when the machine was paused may be half at either side.
			assert.ok(after[0]! >= before.at(-1)! && after[0]! <= before.at(-1)! + 2, `${before.at(-1)} then ${after[0]}`);
			for (let i = 1; i < after.length; i++) assert.is(after[i], after[i - 1]! + 1);
			for (let look = 0; look < 3; look++) {
				await target!.pause({ deadlineMs: 10_000 });
				assert.is(oracleComplaint(await stage.counted(target!)), undefined);
				await target!.resume();
				await nextLine(target!, isCount);
			}
			assert.is((await rejection(source.resume())).code, "gone");
		});

	test("the oracle finds a page that was taken at another time", async () => {
		const guest = await stage.startCounter();
		await guest.pause({ deadlineMs: 10_000 });
		const bytes = await stage.counted(guest);
		assert.is(oracleComplaint(bytes), undefined);
		bytes[100]!--;
		assert.not.equal(oracleComplaint(bytes), undefined);
	});

	test("from A to B to C to A: the console of all four machines is one count without a gap", async () => {
		const consoles = new JoinedConsole();
		const factory = consoles.hearing(await stage.factory());
		let here = await stage.startCounter();
		consoles.follow(here);
		await nextLine(here, isCount);
		for (let hop = 0; hop < 3; hop++) {
			const { result, target } = await moveTo(platform, factory, here, preCopy);
			assert.is(result.outcome, "moved");
			here = stage.keep(target!);
			await follow(here, 2);
		}
		await here.pause({ deadlineMs: 10_000 });
		assert.is(oracleComplaint(await stage.counted(here)), undefined);
		const counts = consoles.numbers(/^([0-9a-f]{8})$/, 16);
		assert.ok(counts.length >= 7, `${counts.length} lines`);
		assert.is(gapIn(counts), undefined);
	});

	test("a hot standby is taken at once; one that has died in the pool is not taken", async () => {
		const factory = await stage.factory();
		const waiting = async (): Promise<number[]> => {
			const found: number[] = [];
			for (const name of await platform.files.names("/proc")) {
				const line = /^\d+$/.test(name) ? await platform.files.read(`/proc/${name}/cmdline`) : undefined;
				const words = line === undefined ? "" : new TextDecoder().decode(line);
				if (words.includes(`${stage.folder}/`) && words.includes("-incoming")) found.push(Number(name));
			}
			return found;
		};
		await factory.prepareStandbys(2);
		assert.is(factory.standbys, 2);
		assert.is((await waiting()).length, 2);
		const source = await stage.startCounter();
		const { target } = await moveTo(platform, factory, source, preCopy);
		stage.keep(target!);
		assert.is(factory.standbys, 1);
		const [pooled, ...others] = (await waiting()).filter((pid) => pid !== target!.pid);
		assert.equal(others, []);
		platform.files.kill(pooled!);
		while (factory.standbys > 0) await clock.sleep(1);
		const { guest } = await factory.setUp(target!.state.layout(), new Map());
		assert.is.not(guest.pid, pooled);
		assert.is(guest.crashed, undefined);
		await guest.execute("query-status");
		await guest.discard();

		await factory.prepareStandbys(2);
		const [dead] = (await waiting()).filter((pid) => pid !== target!.pid);
		platform.files.kill(dead!);
		while (factory.standbys > 1) await clock.sleep(1);
		const { result, target: next } = await moveTo(platform, factory, target!, stopAndCopy);
		assert.is(result.outcome, "moved");
		assert.is.not(next!.pid, dead);
		await follow(stage.keep(next!), 2);
	});

	test("a target that dies keeps the guest at the source; a source that dies leaves no target behind", async () => {
		const factory = await stage.factory();
		const source = await stage.startCounter();
		await factory.prepareStandbys(1);
		const doomed = await factory.setUp(source.state.layout(), new Map());
		const giving = { ...factory, kind: "qemu", check: () => [], missing: () => [], setUp: async () => doomed };
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [giving], clock });
		platform.files.kill(doomed.guest.pid);
		const kept = await stopAndCopy({ guest: source, link: near, clock, random });
		assert.is(kept.outcome, "kept");
		assert.is((await receiving).outcome, "discarded");
		await doomed.guest.discard();
		await nextLine(source, isCount);

		const { result, target } = await (async () => {
			const moving = moveTo(platform, factory, source, stopAndCopy, {
				onProgress: ({ phase }) => {
					if (phase === "final-round") platform.files.kill(source.pid);
				},
			});
			return moving;
		})();
		assert.is.not(result.outcome, "moved");
		assert.is(target, undefined);
	});

	test("a target of another machine, or a technique that QEMU cannot do, is refused by name", async () => {
		const other = await stage.factory({ ...stage.machine, memoryMiB: 32 });
		const source = await stage.startCounter();
		const { result } = await moveTo(platform, other, source, preCopy);
		assert.is(result.outcome, "kept");
		assert.match(result.outcome === "kept" ? result.error.message : "", /4096 pages.*8192/);
		const factory = await stage.factory();
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const late = await postCopy({ guest: source, link: near, clock, random });
		assert.is(late.outcome, "kept");
		assert.match(
			late.outcome === "kept" ? late.error.message : "",
			/qemu guest cannot run while pages are missing: .*userfaultfd.*; use pre-copy/,
		);
		assert.is((await receiving).outcome, "discarded");
		await nextLine(source, isCount);
	});

	test("a state that is cut short, flipped or a second one is refused", async () => {
		const factory = await stage.factory();
		const source = await stage.startCounter();
		await source.pause({ deadlineMs: 10_000 });
		const state = await source.state.capture();
		assert.equal(await source.state.capture(), state, "asked twice in a pause");
		for (const bad of [
			state.subarray(0, state.byteLength / 2),
			state.map((byte, at) => (at < 64 ? byte ^ 255 : byte)),
		]) {
			const { guest } = await factory.setUp(source.state.layout(), new Map());
			stage.keep(guest);
			const { code } = await rejection(guest.state.restore(bad));
			assert.is(code, "state");
			assert.not.equal((await rejection(guest.resume())).code, "none of ours");
		}
		const { guest } = await factory.setUp(source.state.layout(), new Map());
		stage.keep(guest);
		const [, second] = await Promise.all([guest.state.restore(state), guest.state.restore(state)].map(rejection));
		assert.match(second!.message, /given a state before/);
		await source.resume();
		await nextLine(source, isCount);
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
