// RAM pages of a v86 machine that are missing: what brings which page. Every page has come already, so that nobody waits: a page
// is installed when it is asked for, and not before.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { InboxWriter } from "../../bindings/guests/fault-inbox.ts";
import { CR4_PAE, CR4_PSE, Place } from "../../bindings/guests/v86/emulator.ts";
import { V86Machine } from "../../bindings/guests/v86/machine.ts";
import { MissingRam, V86_PINNED_PAGE } from "../../bindings/guests/v86/missing-ram.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { Mode, Variable } from "../v86/boot-sector.ts";
import { bootSectorFactory, openBootSector, v86 } from "../v86/open-guests.ts";
import { fillWithGarbage } from "../v86/post-copy.ts";

const test = suite("v86 guest: missing pages of RAM");

const engine = createEngine();
const encoder = new BatchEncoder(engine);
const ignore = { onFault: () => undefined, onTaken: () => undefined, onRefused: () => undefined };

/** An inbox with a batch for each page of this memory but the one that is never missing. */
function inboxOf(bytes: Uint8Array): { readonly inbox: InboxWriter; readonly missing: Uint8Array<ArrayBuffer> } {
	const pageCount = bytes.byteLength / PAGE_BYTES;
	const inbox = new InboxWriter(pageCount, pageCount);
	const missing = new Uint8Array(Math.ceil(pageCount / 8)).fill(0xff);
	missing[V86_PINNED_PAGE >>> 3]! &= ~(1 << (V86_PINNED_PAGE & 7));
	for (let page = 0; page < pageCount; page++) {
		if (page === V86_PINNED_PAGE) continue;
		const source = { kind: "memory", bytes } as const;
		const batch = encoder.encode({ pageIndices: Uint32Array.of(page), source, into: "fresh" });
		inbox.post(batch.bytes, batch.checksum);
	}
	return { inbox, missing };
}

const MEMORY_BYTES = 2 ** 20;
const PAGES = MEMORY_BYTES / PAGE_BYTES;

interface Scene {
	readonly machine: V86Machine;
	readonly missing: MissingRam;
	/** What RAM should hold. */
	readonly bytes: Uint8Array;
	/** Pages that have come. */
	came(): number[];
	/** Sets registers of the processor. */
	set(values: Readonly<Record<number, number>>): void;
}

/** A machine of 1 MiB without paging, all of whose pages but one are missing. @param words - of RAM, by address */
async function setScene(words: Readonly<Record<number, number>> = {}): Promise<Scene> {
	const missing = new MissingRam(systemClock);
	const machine = await V86Machine.build(
		v86,
		{ memoryByteLength: MEMORY_BYTES, vgaMemoryByteLength: 2 ** 18, time: "real", compile: true },
		{
			hostNow: () => 0,
			output: { onSerial: () => undefined, onFrame: () => undefined, onWake: () => undefined },
			onWalk: (address) => missing.onWalk(address),
		},
	);
	missing.connect(machine, createEngine());
	const bytes = Uint8Array.from({ length: MEMORY_BYTES }, (_, at) => 1 + ((at >>> 12) % 200));
	const view = new DataView(bytes.buffer);
	for (const [at, word] of Object.entries(words)) view.setUint32(Number(at), word, true);
	const { inbox, missing: bits } = inboxOf(bytes);
	missing.begin(inbox.memory, bits, ignore);
	const isThere = (page: number): boolean => machine.ram[page * PAGE_BYTES + 100] === bytes[page * PAGE_BYTES + 100];
	return {
		...{ machine, missing, bytes },
		came: () => Array.from({ length: PAGES - 1 }, (_, at) => at + 1).filter(isThere),
		set: (values) => {
			const registers = new DataView(machine.exports.memory.buffer);
			for (const [at, value] of Object.entries(values)) registers.setInt32(Number(at), value, true);
		},
	};
}

const NO_TABLES = {
	...{ [Place.segmentTable]: 0, [Place.segmentTable + 4]: 0, [Place.interruptTable]: 0, [Place.interruptTable + 4]: 0 },
	[Place.segmentLimits + 24]: 0,
};
const PAGING = 0x8000_0001 | 0;
const control = (register: number): number => Place.controlRegisters + 4 * register;

test("without paging an address is its own page", async () => {
	const { missing, came, set } = await setScene();
	set(NO_TABLES);
	missing.onWalk(0x5123);
	assert.equal(came(), [5]);
	missing.onWalk(0x5fff);
	assert.equal(came(), [5]);
	missing.onWalk(0xb800_0000);
	assert.equal(came(), [5], "no RAM is there");
});

test("the BIOS below 4 GiB is the end of the first megabyte", async () => {
	const { missing, came, set } = await setScene();
	set(NO_TABLES);
	missing.onWalk(0xffff_f000);
	assert.equal(came(), [0xff]);
});

test("a walk brings directory, table and page, each where the one before says", async () => {
	const { missing, came, set } = await setScene({ 12292: 0x7003, [0x7000 + 4 * 0x12]: 0x9003 });
	set({ ...NO_TABLES, [control(0)]: PAGING, [control(3)]: 0x3000 });
	missing.onWalk(0x0041_2345);
	assert.equal(came(), [3, 7, 9]);
});

test("a walk that ends in a page fault brings what says so, and no more", async () => {
	const { missing, came, set } = await setScene({ 12292: 0x7003, [0x7000 + 4 * 0x12]: 0x9002, 12296: 0x8000 });
	set({ ...NO_TABLES, [control(0)]: PAGING, [control(3)]: 0x3000 });
	missing.onWalk(0x0041_2345);
	assert.equal(came(), [3, 7]);
	missing.onWalk(0x0080_0000);
	assert.equal(came(), [3, 7]);
});

test("a page of 4 MiB has no table, where the processor knows such pages", async () => {
	const { missing, came, set } = await setScene({ 12288: 0x83 });
	set({ ...NO_TABLES, [control(0)]: PAGING, [control(3)]: 0x3000, [control(4)]: CR4_PSE });
	missing.onWalk(0x6789);
	assert.equal(came(), [3, 6]);
	const older = await setScene({ 12288: 0x7083, 28696: 0x9003 });
	older.set({ ...NO_TABLES, [control(0)]: PAGING, [control(3)]: 0x3000 });
	older.missing.onWalk(0x6789);
	assert.equal(older.came(), [3, 7, 9]);
});

test("where a table of descriptors goes on beyond a page, the next page comes with it", async () => {
	for (const [table, limit] of [
		[Place.segmentTable + 4, Place.segmentTable],
		[Place.interruptTable + 4, Place.interruptTable],
		[Place.segmentBases + 24, Place.segmentLimits + 24],
	] as const) {
		const { missing, came, set } = await setScene();
		set({ ...NO_TABLES, [table]: 0x5ff8, [limit]: 0x0f });
		missing.onWalk(0x5ff8);
		assert.equal(came(), [5, 6]);
		set({ [table]: 0x8ff8, [limit]: 0x07 });
		missing.onWalk(0x8ff8);
		assert.equal(came(), [5, 6, 8], "it ends with the page");
		set({ [table]: 0xaff8, [limit]: 0x0f });
		missing.onWalk(0xb000);
		assert.equal(came(), [5, 6, 8, 11], "its last page");
	}
});

test("devices and the host ask for what they touch", async () => {
	const { machine, missing, came, bytes } = await setScene();
	machine.cpu.write_blob(Uint8Array.of(9, 9), 0x2fff);
	assert.equal(came(), [2, 3]);
	assert.equal([...machine.ram.subarray(0x2ffe, 0x3002)], [bytes[0x2ffe], 9, 9, bytes[0x3001]]);
	machine.cpu.write8(0x5000, 7);
	assert.is(machine.cpu.read8(0x6000), bytes[0x6000]);
	machine.cpu.read_blob(0x8000, 1);
	machine.cpu.zero_memory(0xd000, 4);
	missing.touch(0xa000, PAGE_BYTES + 1);
	assert.equal(came(), [2, 3, 5, 6, 8, 10, 11, 13]);
	assert.is(machine.ram[0xd000], 0);
	assert.is(machine.ram[0x5000], 7);
});

test("a kernel that turns PAE on has every page first: none is lost, and none is looked for in tables that are not known", async () => {
	const { machine, missing, bytes, set } = await setScene();
	set({ ...NO_TABLES, [control(4)]: CR4_PAE });
	missing.onWalk(0x1000);
	assert.is(missing.remaining, 0);
	assert.ok(machine.ram.subarray(PAGE_BYTES).every((byte, at) => byte === bytes[PAGE_BYTES + at]));
	missing.end();
});

test("a machine that uses PAE does not begin, nor one that lacks its first page, nor one that has begun", async () => {
	const { machine, missing, set } = await setScene();
	const { inbox, missing: bits } = inboxOf(new Uint8Array(MEMORY_BYTES));
	const codeOf = (work: () => void): string => {
		try {
			work();
		} catch (error) {
			return error instanceof GuestError ? error.code : String(error);
		}
		return "nothing";
	};
	assert.is(
		codeOf(() => missing.begin(inbox.memory, bits, ignore)),
		"state",
	);
	const other = new MissingRam(systemClock);
	other.connect(machine, createEngine());
	assert.is(
		codeOf(() => other.begin(inbox.memory, new Uint8Array(bits.length).fill(0xff), ignore)),
		"incompatible",
	);
	set({ [control(4)]: CR4_PAE });
	assert.is(
		codeOf(() => other.begin(inbox.memory, bits, ignore)),
		"incompatible",
	);
});

test("walks are reported while pages are missing, and no longer", async () => {
	const { machine, missing } = await setScene();
	assert.is(machine.exports.pageferry_walks?.value, 1);
	const { message } = await Promise.resolve()
		.then(() => missing.end())
		.then(
			() => new Error("nothing"),
			(error: Error) => error,
		);
	assert.match(message, `${PAGES - 1} pages are still missing`);
	missing.touch(0, MEMORY_BYTES);
	missing.end();
	assert.is(machine.exports.pageferry_walks?.value, 0);
});

test("a run whose pages come one by one as they are used is, at every bit, the run that had them all", async () => {
	for (const steps of [1, 40]) {
		const source = await openBootSector({ time: "counted", compile: false });
		await source.resume();
		source.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
		await source.pause({ deadlineMs: 5000 });
		await source.advance(steps);
		const { guest: target } = await bootSectorFactory().setUp(source.state.layout());
		await fillWithGarbage(target);
		const { pageCount } = source.pages;
		const bytes = source.readMemory(0, pageCount * PAGE_BYTES);
		await target.pages.apply(await source.pages.encode(Uint32Array.of(V86_PINNED_PAGE), { compress: false }));
		await target.state.restore(await source.state.capture());
		const { inbox, missing } = inboxOf(bytes);
		target.missing.begin(inbox.memory, missing, ignore);
		await source.advance(60);
		await target.advance(60);
		const { minorFaults, touchedPages } = inbox.report();
		assert.ok(minorFaults > 20 && minorFaults < pageCount - 1, `${minorFaults} pages were used`);
		assert.is(touchedPages, minorFaults);
		await target.drainMissing();
		target.missing.end();
		const hashes = async (guest: typeof source): Promise<string> => (await guest.pages.hashes(0, pageCount)).toString();
		assert.ok((await hashes(target)) === (await hashes(source)), "a page differs");
		for (const guest of [source, target]) await guest.discard();
	}
});

test.run();
