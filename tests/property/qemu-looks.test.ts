// What a look at a QEMU's RAM leaves out, against an oracle that compares everything, on simulated page tables.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { mappedAddress } from "../../bindings/guests/qemu/page-map.ts";
import type { QemuRam } from "../../bindings/guests/qemu/ram.ts";
import { whyNoSoftDirty } from "../../bindings/guests/qemu/soft-dirty.ts";
import type { DirtyCursor } from "../../bindings/ports/guest.ts";
import { SimulatedRam } from "../qemu/simulated-ram.ts";

const test = suite("qemu guest: what a look leaves out");
const PAGES = 256;
// Few, so that much happens to each.
const page = fc.constantFrom(0, 1, 9, 63, 127, 128, 200, 255);
const value = fc.integer({ min: 0, max: 3 });
const setOf = (bits: Uint8Array): number[] =>
	Array.from({ length: PAGES }, (_, at) => at).filter((at) => ((bits[at >> 3]! >> (at & 7)) & 1) === 1);
const written = fc.array(fc.tuple(page, value), { maxLength: 40 });

type Step = {
	readonly do: "write" | "touch" | "punch" | "unmap" | "intrude";
	readonly page: number;
	readonly value: number;
};
const steps = (...names: readonly Step["do"][]) =>
	fc.array(
		fc.oneof(
			{ weight: 6, arbitrary: fc.record({ do: fc.constantFrom(...names), page, value }) },
			{ weight: 1, arbitrary: fc.constantFrom("live" as const, "peek" as const, "reopen" as const) },
			{ weight: 2, arbitrary: fc.constant("paused" as const) },
		),
		{ maxLength: 60 },
	);

/** Drives a simulated machine and compares every harvest with what has really changed. */
class Oracle {
	readonly machine: SimulatedRam;
	readonly ram: QemuRam;
	cursor: DirtyCursor;
	#before: readonly number[];

	constructor(machine: SimulatedRam, ram: QemuRam, cursor: DirtyCursor) {
		this.machine = machine;
		this.ram = ram;
		this.cursor = cursor;
		this.#before = this.#now();
	}

	async run(step: Step | "live" | "paused" | "peek" | "reopen"): Promise<void> {
		const { machine } = this;
		if (typeof step === "object") machine[step.do](step.page, step.value);
		else if (step === "peek") assert.equal(setOf(await this.cursor.peek(0, PAGES)), this.#changed());
		else if (step === "reopen") {
			await this.cursor.close();
			this.cursor = await this.ram.open();
			this.#before = this.#now();
		} else {
			machine.isPaused = step === "paused";
			const { bits, dirtyCount } = await this.cursor.harvest();
			machine.isPaused = false;
			const changed = this.#changed();
			assert.equal(setOf(bits), changed, JSON.stringify(this.ram.tracking.report));
			assert.is(dirtyCount, changed.length);
			this.#before = this.#now();
		}
	}

	#now(): number[] {
		return this.machine.pages.map((content) => content ?? 0);
	}

	#changed(): number[] {
		const now = this.#now();
		return now.flatMap((content, at) => (content === this.#before[at] ? [] : [at]));
	}
}

test("holes: whatever QEMU, balloons, swapping and others do, no change is missed", async () => {
	const names = ["write", "touch", "punch", "unmap", "intrude"] as const;
	await fc.assert(
		fc.asyncProperty(written, written, steps(...names), async (applied, booted, history) => {
			// A target: some of its pages we wrote before it ran.
			const source = new SimulatedRam(PAGES);
			for (const [at, content] of applied) source.write(at, content);
			const machine = new SimulatedRam(PAGES);
			const [from, ram] = [await source.open(), await machine.open()];
			const pages = Uint32Array.from(new Set(applied.map(([at]) => at))).sort();
			if (pages.length > 0) await ram.apply(await from.encode(pages, { compress: false }));
			for (const [at, content] of booted) machine.write(at, content);
			const oracle = new Oracle(machine, ram, await ram.open());
			for (const step of [...history, "paused" as const, "paused" as const]) await oracle.run(step);
		}),
		{ numRuns: 150 },
	);
});

test("holes: a page that was punched does not stand for one that somebody else wrote", async () => {
	const source = new SimulatedRam(PAGES);
	source.write(10, 1);
	const machine = new SimulatedRam(PAGES);
	const [from, ram] = [await source.open(), await machine.open()];
	await ram.apply(await from.encode(Uint32Array.of(10), { compress: false }));
	const oracle = new Oracle(machine, ram, await ram.open());
	await oracle.run("paused");
	assert.is(ram.tracking.report.lastHarvest?.holePages, PAGES - 8, "page 10 and its seven neighbours");
	// As many pages as before, and not the same.
	machine.punch(10);
	machine.intrude(200, 2);
	await oracle.run("paused");
	assert.match(ram.tracking.report.lastHarvest?.everything ?? "", /of 1 pages in the RAM file only 0 are known/);
});

test("holes: nor does one that was seen to be punched while the machine ran", async () => {
	const source = new SimulatedRam(PAGES);
	source.write(10, 1);
	const machine = new SimulatedRam(PAGES);
	const [from, ram] = [await source.open(), await machine.open()];
	await ram.apply(await from.encode(Uint32Array.of(10), { compress: false }));
	const oracle = new Oracle(machine, ram, await ram.open());
	machine.punch(10);
	await oracle.run("live");
	machine.intrude(200, 2);
	await oracle.run("paused");
});

test("a page that was written since the last harvest is not zero while the machine is paused", async () => {
	const machine = new SimulatedRam(PAGES);
	const ram = await machine.open();
	const cursor = await ram.open();
	machine.write(100, 2);
	const zeroAt = async (page: number) => ((await ram.zeros())[page >>> 3]! >>> (page & 7)) & 1;
	assert.is(await zeroAt(100), 1, "as the shadow has it: the write is in the next harvest");
	machine.isPaused = true;
	assert.is(await zeroAt(100), 0);
	assert.is(await zeroAt(101), 1);
	await cursor.close();
});

test("holes: a page that was one, and data in between, is seen to have changed", async () => {
	const machine = new SimulatedRam(PAGES);
	machine.write(0, 1);
	const ram = await machine.open();
	const oracle = new Oracle(machine, ram, await ram.open());
	await oracle.run("paused");
	machine.write(100, 2);
	await oracle.run("live");
	machine.punch(100);
	await oracle.run("paused");
	assert.ok((ram.tracking.report.lastHarvest?.holePages ?? 0) > 0);
});

test("holes: they are not read while the machine is paused, and are while it runs", async () => {
	const machine = new SimulatedRam(PAGES);
	for (let at = 0; at < 64; at++) machine.write(at, 1);
	const ram = await machine.open();
	const oracle = new Oracle(machine, ram, await ram.open());
	for (const [step, readPages] of [
		["paused", 64],
		["live", PAGES],
		["paused", 64],
	] as const) {
		machine.read.length = 0;
		await oracle.run(step);
		assert.is(machine.read.length, readPages, step);
		assert.is(ram.tracking.report.lastHarvest?.readPages, readPages);
	}
	// Data that becomes a hole is read once, because its shadow is not zero, and then no more.
	for (let at = 0; at < 8; at++) machine.punch(at);
	for (const readPages of [64, 56]) {
		machine.read.length = 0;
		await oracle.run("paused");
		assert.is(machine.read.length, readPages);
	}
	// With few holes nobody asks.
	for (let at = 0; at < PAGES; at++) machine.write(at, 1);
	await oracle.run("paused");
	assert.match(ram.tracking.report.lastHarvest?.everything ?? "", /not enough holes/);
});

test("holes: a proof that fails is not tried at every pause, and is tried again later", async () => {
	const machine = new SimulatedRam(PAGES);
	for (let at = 0; at < 8; at++) machine.write(at, 1);
	const ram = await machine.open();
	const oracle = new Oracle(machine, ram, await ram.open());
	machine.unmap(3);
	await oracle.run("paused");
	assert.match(ram.tracking.report.lastHarvest?.everything ?? "", /only 7 are known/);
	machine.touch(3);
	await oracle.run("paused");
	assert.match(ram.tracking.report.lastHarvest?.everything ?? "", /could not be proven/);
	for (let at = 0; at < 16; at++) await oracle.run("paused");
	assert.is(ram.tracking.report.lastHarvest?.holePages, PAGES - 8);
});

/** As QemuGuest does it at its start. */
const trackMarks = async (machine: SimulatedRam, ram: QemuRam, balloon = false): Promise<string | undefined> => {
	const facts = { memoryMiB: 1, balloon, boot: { kernel: "" } };
	const process = { pid: 77, pageCount: PAGES, markedPages: () => ram.markedPages() };
	const why = await whyNoSoftDirty(machine.files, facts, process);
	ram.tracking.decide(why);
	return why;
};

test("soft-dirty: whatever QEMU writes while it runs, no change is missed, and marks are cleared when they are many", async () => {
	let cleared = 0;
	await fc.assert(
		fc.asyncProperty(written, steps("write", "write", "touch"), async (booted, history) => {
			const machine = new SimulatedRam(PAGES);
			const ram = await machine.open();
			assert.is(await trackMarks(machine, ram), undefined);
			for (const [at, content] of booted) machine.write(at, content);
			const oracle = new Oracle(machine, ram, await ram.open());
			for (const step of [...history, "paused" as const]) await oracle.run(step);
			assert.is(ram.tracker, "soft-dirty");
			cleared += machine.cleared - 2;
		}),
		{ numRuns: 150 },
	);
	assert.ok(cleared > 0);
});

test("soft-dirty: only pages that were written are read, and a page that we wrote", async () => {
	const source = new SimulatedRam(PAGES);
	source.write(200, 1);
	const machine = new SimulatedRam(PAGES);
	for (let at = 0; at < 100; at++) machine.write(at, 1);
	const [from, ram] = [await source.open(), await machine.open()];
	await trackMarks(machine, ram);
	const oracle = new Oracle(machine, ram, await ram.open());
	machine.write(7, 2);
	machine.write(150, 2);
	await ram.apply(await from.encode(Uint32Array.of(200), { compress: false }));
	machine.read.length = 0;
	await oracle.run("live");
	assert.equal(machine.read, [7, 150, 200]);
	const { lastHarvest } = ram.tracking.report;
	assert.equal(lastHarvest, { pageCount: PAGES, readPages: 3, holePages: 0, cleanPages: PAGES - 3 });
	// Nothing was cleared while it ran: what was marked is read again, until a pause with many marks.
	machine.read.length = 0;
	await oracle.run("peek");
	assert.equal(machine.read, [7, 150]);
	const before = machine.cleared;
	for (let at = 0; at < 20; at++) machine.write(at, 3);
	await oracle.run("paused");
	assert.is(machine.cleared, before + 1);
	machine.read.length = 0;
	await oracle.run("paused");
	assert.equal(machine.read, []);
});

test("soft-dirty: where marks may be lost, everything is read from then on, and the report says why", async () => {
	const open = async () => {
		const machine = new SimulatedRam(PAGES);
		for (let at = 0; at < 100; at++) machine.write(at, 1);
		const ram = await machine.open();
		await trackMarks(machine, ram);
		return { machine, ram, oracle: new Oracle(machine, ram, await ram.open()) };
	};
	const unmapped = await open();
	unmapped.machine.write(5, 2);
	unmapped.machine.unmap(5);
	await unmapped.oracle.run("paused");
	assert.is(unmapped.ram.tracker, "scan");
	assert.match(unmapped.ram.tracking.report.withoutSoftDirty ?? "", /unmapped 1 pages/);
	const swapping = await open();
	swapping.machine.swaps += "/swapfile file 1024 0 -2\n";
	swapping.machine.write(5, 2);
	swapping.machine.unmap(5);
	swapping.machine.touch(5);
	await swapping.oracle.run("paused");
	assert.match(swapping.ram.tracking.report.withoutSoftDirty ?? "", /swap/);
	await swapping.oracle.run("live");
});

test("soft-dirty: the probe says why there are no marks, or none to trust", async () => {
	const why = async (change: (machine: SimulatedRam) => void, balloon = false) => {
		const machine = new SimulatedRam(PAGES);
		change(machine);
		return trackMarks(machine, await machine.open(), balloon);
	};
	assert.is(await why(() => undefined), undefined);
	assert.match((await why(() => undefined, true)) ?? "", /balloon/);
	const hasNone = (machine: SimulatedRam) => {
		machine.hasMarks = false;
	};
	assert.match((await why(hasNone)) ?? "", /no soft-dirty marks/);
	const swaps = (machine: SimulatedRam) => {
		machine.swaps += "/dev/sda2 partition 1024 0 -2\n";
	};
	assert.match((await why(swaps)) ?? "", /swap/);
	const huge = (machine: SimulatedRam) => {
		machine.hugePages = "always within_size [advise] never deny force";
	};
	assert.match((await why(huge)) ?? "", /huge pages/);
});

test("a file's address is that of its one whole mapping", () => {
	const maps = [
		"7f00-8f00 rw-s 00000000 00:1b 1   /dev/shm/a/ram",
		"10000-20000 rw-s 00000000 00:1b 1   /dev/shm/b/ram",
		"20000-30000 rw-s 00010000 00:1b 1   /dev/shm/b/ram",
		"40000-50000 rw-s 00000000 00:1b 1   /dev/shm/c/ram",
		"60000-70000 rw-s 00010000 00:1b 1   /dev/shm/c/ram",
	].join("\n");
	assert.is(mappedAddress(maps, "/dev/shm/a/ram", 0x1000), 0x7f00);
	assert.is(mappedAddress(maps, "/dev/shm/a/ram", 0x2000), undefined, "not whole");
	assert.is(mappedAddress(maps, "/dev/shm/b/ram", 0x20000), 0x10000, "listed in two parts");
	assert.is(mappedAddress(maps, "/dev/shm/c/ram", 0x20000), undefined, "with a gap");
	assert.is(mappedAddress(maps, "/dev/shm/d/ram", 0x1000), undefined);
});

test.run();
