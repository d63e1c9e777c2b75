// The balloon of a v86 guest without a Linux: what is refused and said, and what the device hears. (With one: v86-linux-balloon.)
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { GuestMemoryKernels } from "../../bindings/engine/inplace.ts";
import { V86Balloon } from "../../bindings/guests/v86/balloon.ts";
import { DeviceState } from "../../bindings/guests/v86/device-state.ts";
import type { V86BalloonDevice } from "../../bindings/guests/v86/emulator.ts";
import { BallooningV86Guest } from "../../bindings/guests/v86/guest.ts";
import { hardwareOf } from "../../bindings/guests/v86/hardware.ts";
import { V86Machine } from "../../bindings/guests/v86/machine.ts";
import { BallooningV86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { WrittenPages } from "../../bindings/guests/v86/written-pages.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { isBallooningGuest } from "../../bindings/ports/ballooning-guest.ts";
import { type Guest, GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { moveV86 } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, runBootSector, v86 } from "../v86/open-guests.ts";
import { runInWorker, workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: balloon");
const open = new Set<Guest>();
const keep = <Kept extends Guest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

async function failure(work: Promise<unknown>): Promise<GuestError> {
	const error = await work.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	assert.instance(error, GuestError);
	return error as GuestError;
}

/** A machine with a balloon that does not run. What a driver puts into a queue comes from `give`. */
async function machine() {
	const hardware = {
		memoryByteLength: MEMORY_BYTES,
		vgaMemoryByteLength: 2 ** 18,
		time: "real",
		compile: true,
	} as const;
	const output = { onSerial: () => undefined, onFrame: () => undefined, onWake: () => undefined };
	const built = await V86Machine.build(v86, { ...hardware, balloon: true }, { hostNow: () => 0, output });
	const device: V86BalloonDevice = built.cpu.devices.virtio_balloon!;
	const give = (queue: number, pages: readonly number[]): void => {
		// A driver's queues, by hand: one descriptor of page numbers, one entry, as section 2.7 of VIRTIO 1.2 lays them out.
		const view = new DataView(built.ram.buffer, built.ram.byteOffset);
		const [descriptors, available, used, numbers] = [0x10000, 0x11000, 0x12000, 0x13000];
		Object.assign(device.virtio.queues[queue]!, {
			...{ desc_addr: descriptors, avail_addr: available, used_addr: used, enabled: true, avail_last_idx: 0 },
		});
		for (const [at, page] of pages.entries()) view.setUint32(numbers + 4 * at, page, true);
		view.setUint32(descriptors, numbers, true);
		view.setUint32(descriptors + 8, 4 * pages.length, true);
		view.setUint16(available + 2, 1, true);
		view.setUint16(available + 4, 0, true);
		const chain = device.virtio.queues[queue]!.pop_request();
		chain.get_next_blob(new Uint8Array(4 * pages.length));
	};
	const engine = createEngine();
	const state = new DeviceState(built, engine, new GuestMemoryKernels(engine, built.exports.memory));
	return { machine: built, device, balloon: built.balloon!, give, state };
}

const pagesIn = (bits: Uint8Array): number[] =>
	Array.from({ length: bits.length * 8 }, (_, page) => page).filter(
		(page) => ((bits[page >>> 3]! >>> (page & 7)) & 1) === 1,
	);

test("a guest whose system has no driver says so, on its host's thread and in a worker, and runs on", async () => {
	for (const guest of [
		keep(await runBootSector("oracle", { balloon: true })),
		keep(await runInWorker("oracle", { balloon: true })),
	]) {
		assert.ok(guest instanceof BallooningV86Guest || guest instanceof BallooningV86WorkerGuest);
		if (!isBallooningGuest(guest)) throw new TypeError("no balloon");
		for (const work of [guest.balloon.report(), guest.balloon.inflate(10), guest.balloon.deflate(10)]) {
			const error = await failure(work);
			assert.is(error.code, "no-driver");
			assert.match(error.message, /virtio_balloon/);
		}
		assert.equal(pagesIn(await guest.balloon.out()), []);
		for (const pages of [-1, 0.5, Number.NaN])
			await guest.balloon.inflate(pages).then(
				() => assert.unreachable(`${pages} pages`),
				(error: unknown) => assert.instance(error, RangeError),
			);
		const loop = startSelfBallooning({ guest, clock }, { intervalMs: 5 });
		assert.is((await failure(loop.ended)).code, "no-driver");
		await guest.pause({ deadlineMs: 5000 });
		assert.is((await failure(guest.balloon.inflate(10))).code, "not-running");
	}
});

test("a guest has no balloon unless it was asked for, and its layout says nothing of one", async () => {
	const guest = keep(await runBootSector("spin"));
	assert.not.ok(isBallooningGuest(guest));
	assert.not.ok("balloon" in guest.state.layout().facts);
	// @ts-expect-error: what JavaScript callers can pass
	assert.throws(() => hardwareOf({ balloon: "yes" }), /balloon/);
});

test("a balloon is part of the layout: a target is built with it, another word for it is refused by name", async () => {
	const guest = keep(await runBootSector("oracle", { balloon: true }));
	const layout = guest.state.layout();
	assert.is(layout.facts.balloon, "true");
	const odd = { ...layout, facts: { ...layout.facts, balloon: "large" } };
	for (const factory of [bootSectorFactory(), workerFactory()]) {
		assert.equal(factory.check(layout), []);
		assert.equal(
			factory.check(odd).map(({ fact }) => fact),
			["balloon"],
		);
	}
	const { result, target } = await moveV86(guest, bootSectorFactory(), preCopy);
	assert.is(result.outcome, "moved");
	assert.instance(target, BallooningV86Guest);
	keep(target!);
});

test("the device reads which pages its driver gives up, makes them zero, and the dirty log sees it", async () => {
	const { machine: built, balloon, give, state } = await machine();
	const written = new WrittenPages(built);
	const cursor = written.open();
	built.ram.fill(0xaa, 100 * PAGE_BYTES, 110 * PAGE_BYTES);
	written.harvest(cursor);
	balloon.want(8);
	give(0, [100, 101, 105, built.pageCount, 0xffff_ffff]);
	assert.equal(pagesIn(balloon.out()), [100, 101, 105]);
	assert.is(balloon.size, 3);
	for (let page = 100; page < 110; page++) {
		const isOut = [100, 101, 105].includes(page);
		assert.is(built.ram[page * PAGE_BYTES], isOut ? 0 : 0xaa, `page ${page}`);
		assert.is(built.ram[(page + 1) * PAGE_BYTES - 1], isOut ? 0 : 0xaa, `page ${page}`);
	}
	assert.equal(
		pagesIn(written.harvest(cursor).bits).filter((page) => page >= 100),
		[100, 101, 105],
	);
	const other = await machine();
	other.state.restore(state.capture());
	assert.equal(pagesIn(other.balloon.out()), [100, 101, 105]);
	assert.is(other.device.num_pages, 3, "what was being asked for at the source is not asked for again");
});

test("pages that a driver takes back unasked are pressure, and end what is asked; compaction is none", async () => {
	const { balloon, device, give } = await machine();
	balloon.want(100);
	give(0, [200, 201, 202, 203]);
	give(0, [204]);
	give(1, [200]);
	assert.ok(balloon.isMoving);
	assert.is(balloon.takePressure(), 0);
	give(1, [201, 202]);
	assert.not.ok(balloon.isMoving);
	assert.is(balloon.takePressure(), 2);
	assert.is(balloon.takePressure(), 0);
	assert.is(device.num_pages, 2);
	balloon.want(0);
	give(1, [203, 204]);
	assert.is(balloon.takePressure(), 0, "it was asked");
	device.virtio.reset();
	assert.is(balloon.size, 0);
});

test("memory that is hinted as free, and zeroed past the processor, is seen by the dirty log", async () => {
	const { machine: built } = await machine();
	const written = new WrittenPages(built);
	const cursor = written.open();
	built.cpu.zero_memory(300 * PAGE_BYTES, 2 * PAGE_BYTES);
	assert.equal(pagesIn(written.harvest(cursor).bits), [300, 301]);
});

test("a state without its balloon's pages is refused", async () => {
	const { balloon } = await machine();
	for (const state of [undefined, new Uint8Array(3), "out"])
		assert.throws(
			() => balloon.restore(state),
			(error: unknown) => error instanceof GuestError && error.code === "state",
		);
});

test("a driver that does not answer is given up after its deadline, and asked for nothing more", async () => {
	let nowMs = 0;
	const settled: number[] = [];
	const device = {
		...{ hasDriver: true, size: 5, answers: 0, freeBytes: 0, isMoving: true },
		...{ out: () => new Uint8Array(4), want: () => undefined, ask: () => undefined, takePressure: () => 0 },
		settle: () => settled.push(nowMs),
	};
	const balloon = new V86Balloon({
		...{ device, pageCount: 32, guestNow: () => nowMs, within: (work) => work(), isRunning: () => true },
		clock: {
			now: () => nowMs,
			sleep: async (durationMs) => {
				nowMs += durationMs;
			},
		},
	});
	const error = await failure(balloon.inflate(10));
	assert.is(error.code, "no-answer");
	assert.ok(nowMs >= 10_000 && nowMs < 20_000, `${nowMs}`);
	assert.is(settled.length, 1);
	assert.is((await failure(balloon.report())).code, "no-answer");
});

test.run();
