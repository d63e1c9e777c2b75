// A QEMU that stands still: it neither answers nor ends, and does what it was told as soon as it goes on. Whoever waits for it
// gets a typed error in time, and what is believed of the machine is never more than what it has said.
import process from "node:process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type QemuGuest, type QemuMachine, qemuVersion, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { isBallooningGuest } from "../../bindings/ports/ballooning-guest.ts";
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";
import type { Clock } from "../../bindings/ports/clock.ts";
import type { Platform } from "../../bindings/ports/platform.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { oracleComplaint } from "../qemu/counter-sector.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: a QEMU that stands still");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;

/** A stream to a QEMU that stops just before a command comes. */
function stoppedAt(stream: ByteStream, command: string, stop: () => void): ByteStream {
	return {
		write: (parts, modelledByteLength) => {
			if (parts.some((part) => new TextDecoder().decode(part).includes(command))) stop();
			return stream.write(parts, modelledByteLength);
		},
		readInto: (target, wantedBytes) => stream.readInto(target, wantedBytes),
		close: () => stream.close(),
		abort: (reason) => stream.abort(reason),
	};
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder, machine } = stage;
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());
	const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);
	const lastCount = (guest: QemuGuest): number => Number.parseInt(guest.console.recent.filter(isCount).at(-1)!, 16);
	/** Whether the long waits of {@link hasty} are short. */
	let isHasty = false;
	test.before.each(() => {
		isHasty = false;
	});
	const hasty: Platform = {
		...platform,
		clock: {
			now: () => clock.now(),
			sleep: (ms, signal) => clock.sleep(isHasty && ms >= 20_000 ? 50 : ms, signal),
		},
	};
	const start = async (services: Platform, made: QemuMachine = machine): Promise<QemuGuest> =>
		stage.keep(
			await startQemuGuest(services, { machine: made, folder, booted: (line) => isCount(line) && line >= "00000003" }),
		);
	/** A QEMU whose connection is lost is not waited for. */
	const impatient: Clock = {
		now: () => clock.now(),
		sleep: (ms, signal) => clock.sleep(ms === 5_000 ? 50 : ms, signal),
	};
	const hold = (guest: { readonly pid: number }): void => {
		isHasty = true;
		process.kill(guest.pid, "SIGSTOP");
	};
	const goOn = (guest: QemuGuest): void => {
		isHasty = false;
		process.kill(guest.pid, "SIGCONT");
	};

	test("a QEMU that stands still does not hold a pause for ever, and goes on when it can", async () => {
		const guest = await start(platform);
		hold(guest);
		const { code, message } = await rejection(guest.pause({ deadlineMs: 50 }));
		assert.is(code, "pause-deadline");
		assert.match(message, /does not answer/);
		goOn(guest);
		await nextLine(guest, isCount);
		await guest.pause({ deadlineMs: 10_000 });
		await guest.resume();
		await nextLine(guest, isCount);
	});

	for (const call of ["resume", "restore"] as const)
		test(`a QEMU that stands still fails ${call} with a typed error`, async () => {
			const factory = await stage.factory(machine, hasty);
			const source = await start(hasty);
			await source.pause({ deadlineMs: 10_000 });
			const state = await source.state.capture();
			const { guest: target } = await factory.setUp(source.state.layout(), new Map());
			stage.keep(target);
			const still = call === "resume" ? source : stage.keep(target as QemuGuest);
			hold(still);
			const failed = await rejection(call === "resume" ? still.resume() : still.state.restore(state));
			assert.is(failed.code, call === "resume" ? "no-answer" : "state");
			assert.match(failed.message, /has not answered/);
		});

	test("a QEMU that stands still while it saves its state does not hold a resume for ever", async () => {
		const guest = await start(hasty);
		const stopped = new Promise<void>((resolve) => {
			guest.onEvent((name) => {
				if (name === "STOP") resolve();
			});
		});
		// Told to stop, it may answer in time or not.
		const pausing = guest.pause({ deadlineMs: 100 }).then(
			() => "paused",
			() => "not paused",
		);
		await stopped;
		hold(guest);
		const code = await pausing;
		if (code === "paused") assert.is((await rejection(guest.resume())).code, "no-answer");
		goOn(guest);
		await guest.pause({ deadlineMs: 10_000 });
		await guest.state.capture();
		assert.is(oracleComplaint(await stage.counted(guest)), undefined);
		await guest.resume();
		await nextLine(guest, isCount);
	});

	test("commands and the balloon of a QEMU that stands still fail in time, and work when it goes on", async () => {
		const guest = await start(hasty, { ...machine, balloon: true });
		assert.ok(isBallooningGuest(guest));
		const { balloon } = guest;
		const calls = {
			execute: () => guest.execute("query-status"),
			report: () => balloon.report(),
			out: () => balloon.out(),
			inflate: () => balloon.inflate(1),
			deflate: () => balloon.deflate(1),
		};
		hold(guest);
		for (const [name, call] of Object.entries(calls)) {
			const { code, message } = await rejection(call());
			assert.is(code, "no-answer", name);
			assert.match(message, /it stands still/);
		}
		isHasty = false;
		assert.match((await rejection(guest.execute("query-name", {}, { answerMs: 50 }))).message, /within 50 ms/);
		goOn(guest);
		for (const call of Object.values(calls)) await call();
		await nextLine(guest, isCount);
	});

	test("a move and a live save of a balloon machine that stands still end in their live phase, and the guest is kept", async () => {
		const guest = await start(hasty, { ...machine, balloon: true });
		const factory = await stage.factory({ ...machine, balloon: true });
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		hold(guest);
		const result = await preCopy({ guest, link: near, clock, random });
		assert.is(result.outcome, "kept");
		assert.match(result.outcome === "kept" ? result.error.message : "", /has not answered 'query-balloon'/);
		assert.is((await receiving).outcome, "discarded");
		const store = new SnapshotStore(new MemoryStore(), { clock, random });
		const { code, message } = await rejection(liveSave({ guest, store, clock }));
		assert.is(code, "guest");
		assert.match(message, /has not answered 'query-balloon'/);
		assert.equal(await store.list(), []);
		goOn(guest);
		await nextLine(guest, isCount);
		await liveSave({ guest, store, clock });
	});

	test("a QEMU that stops before it has answered everything at its start is given up, and leaves nothing", async () => {
		let pid = 0;
		const stopping: Platform = {
			...hasty,
			processes: {
				start: async (command) => {
					const started = await platform.processes.start(command);
					pid = started.pid;
					return started;
				},
			},
			listen: async (address) => {
				const listener = await platform.listen(address);
				if (!("path" in address && address.path.endsWith("/qmp.sock"))) return listener;
				const accept = async () => {
					const stream = await listener.accept();
					return stream === undefined ? undefined : stoppedAt(stream, "migrate-set-capabilities", () => hold({ pid }));
				};
				return { address: listener.address, accept, close: () => listener.close() };
			},
		};
		const { code, message } = await rejection(start(stopping));
		assert.is(code, "no-answer");
		assert.match(message, /'migrate-set-capabilities'/);
		assert.equal(await platform.files.names(folder), []);
	});

	test("an executable that does not tell its version in time is ended, and is no QEMU to start", async () => {
		let pid = 0;
		const start = async () => {
			const sleeping = await platform.processes.start({ executable: "sleep", args: ["1000"] });
			pid = sleeping.pid;
			isHasty = true;
			return sleeping;
		};
		const { code, message } = await rejection(qemuVersion({ ...hasty, processes: { start } }, "qemu"));
		assert.is(code, "no-answer");
		assert.match(message, /has not told its version/);
		while (((await platform.files.read(`/proc/${pid}/cmdline`))?.byteLength ?? 0) > 0);
	});

	test("a QEMU that closes its control connection and stays is ended, and its guest says so", async () => {
		let control: ByteStream | undefined;
		const listen: Platform["listen"] = async (address) => {
			const listener = await platform.listen(address);
			if (!("path" in address && address.path.endsWith("/qmp.sock"))) return listener;
			const accept = async () => (control = await listener.accept());
			return { address: listener.address, accept, close: () => listener.close() };
		};
		const guest = await start({ ...platform, listen, clock: impatient });
		const { pid } = guest;
		control!.abort("nobody is at its end");
		assert.is((await rejection(guest.execute("query-status"))).code, "gone");
		assert.is((await guest.ended).code, "crashed");
		await guest.discard();
		assert.is((await platform.files.read(`/proc/${pid}/cmdline`))?.byteLength ?? 0, 0);
	});

	test("after a resume that gave up the machine counts as running, and its old state is never used again", async () => {
		const guest = await start(hasty);
		await guest.pause({ deadlineMs: 10_000 });
		await guest.state.capture();
		hold(guest);
		assert.is((await rejection(guest.resume())).code, "no-answer");
		assert.is(guest.isPaused, false);
		assert.is((await rejection(guest.state.capture())).code, "not-paused");
		assert.is((await rejection(guest.resume())).code, "no-answer", "asked again, it waits for the same answer");
		const before = lastCount(guest);
		goOn(guest);
		await nextLine(guest, (line) => isCount(line) && Number.parseInt(line, 16) > before + 5);
		const factory = await stage.factory(machine);
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const result = await stopAndCopy({ guest, link: near, clock, random }, { verification: "transport" });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		const received = await receiving;
		assert.is(received.outcome, "running");
		// allowed (cast): the only factory is QEMU's
		const target = stage.keep((received as { readonly guest: unknown }).guest as QemuGuest);
		await nextLine(target, isCount);
		await nextLine(target, isCount);
		const went = lastCount(guest);
		const first = Number.parseInt(target.console.recent.find(isCount)!, 16);
		assert.ok(first >= went && first <= went + 2, `${went} then ${first}`);
		await target.pause({ deadlineMs: 10_000 });
		assert.is(oracleComplaint(await stage.counted(target)), undefined);
	});

	test("a resume after a pause that gave up waits until the machine runs, and a pause holds it again", async () => {
		const guest = await start(hasty);
		hold(guest);
		assert.is((await rejection(guest.pause({ deadlineMs: 50 }))).code, "pause-deadline");
		assert.is(guest.isPaused, false);
		assert.is((await rejection(guest.state.capture())).code, "not-paused");
		assert.is((await rejection(guest.pause({ deadlineMs: 50 }))).code, "pause-deadline");
		isHasty = false; // the answer may take its time now
		const resuming = guest.resume();
		goOn(guest);
		await resuming;
		assert.is(guest.isRunning, true);
		await nextLine(guest, isCount);
		await guest.pause({ deadlineMs: 10_000 });
		assert.is(guest.isPaused, true);
		await guest.state.capture();
		assert.is(oracleComplaint(await stage.counted(guest)), undefined);
		await guest.resume();
		await nextLine(guest, isCount);
	});

	test("a machine that somebody let run behind our back counts as paused no more", async () => {
		const guest = await start(platform);
		await guest.pause({ deadlineMs: 10_000 });
		await guest.state.capture();
		const counting = nextLine(guest, isCount);
		await guest.execute("cont");
		await counting;
		assert.is(guest.isPaused, false);
		assert.is((await rejection(guest.state.capture())).code, "not-paused");
		await guest.pause({ deadlineMs: 10_000 });
		await guest.state.capture();
	});

	test("a guest that is discarded in the moment at which its pause is answered is gone, and saves nothing", async () => {
		const guest = await start(platform);
		const events: string[] = [];
		guest.onEvent((name) => events.push(name));
		const { signal } = new AbortController();
		let discarding: Promise<void> | undefined;
		// The pause lets go of its signal when the answer is there.
		Object.assign(signal, { removeEventListener: () => (discarding = guest.discard()) });
		assert.is((await rejection(guest.pause({ deadlineMs: 10_000, signal }))).code, "gone");
		await discarding;
		assert.ok(events.includes("STOP"));
		assert.is(guest.isPaused, false);
		assert.is((await rejection(guest.pause({ deadlineMs: 10_000 }))).code, "gone");
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
