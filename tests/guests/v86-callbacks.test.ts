import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { StartV86GuestOptions, V86Guest } from "../../bindings/guests/v86/guest.ts";
import { V86Machine } from "../../bindings/guests/v86/machine.ts";
import { NetworkCard } from "../../bindings/guests/v86/network-card.ts";
import { WrittenPages } from "../../bindings/guests/v86/written-pages.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { letterFault } from "../v86/boot-sector.ts";
import { Console, moveV86 } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, runBootSector, v86, watchedV86 } from "../v86/open-guests.ts";

const test = suite("v86 guest: callbacks and writes of the host");
const open = new Set<V86Guest>();
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

async function oracle(options: Partial<StartV86GuestOptions> = {}): Promise<V86Guest> {
	const guest = await runBootSector("oracle", options);
	open.add(guest);
	return guest;
}

/** What a machine has sent while it ran the work; its card is the bus's other end. */
async function machineThatSends() {
	const frames: Uint8Array[] = [];
	const machine = await V86Machine.build(
		v86,
		{ memoryByteLength: MEMORY_BYTES, vgaMemoryByteLength: 2 ** 18, time: "real", compile: true },
		{
			hostNow: () => 0,
			output: { onSerial: () => undefined, onFrame: (frame) => frames.push(frame), onWake: () => undefined },
		},
	);
	return { machine, frames };
}

test("a serial listener that throws gets an error of its own; the guest, its bytes and other listeners go on", async () => {
	const errors: unknown[] = [];
	const guest = await oracle({ onListenerError: (error) => errors.push(error) });
	const failure = new Error("my listener is broken");
	let calls = 0;
	const stop = guest.serial.listen(() => {
		calls++;
		throw failure;
	});
	const console = new Console();
	console.follow(guest);
	await console.more(40);
	stop();
	assert.ok(calls > 1);
	assert.ok(errors.length === calls && errors.every((error) => error === failure));
	const before = calls;
	await console.more(20);
	assert.is(calls, before);
	assert.is(letterFault(console.text), undefined);
});

test("without a handler a listener's error is the process's, as an event target's is, and the guest goes on", async () => {
	const guest = await oracle();
	const failure = new Error("nobody handles this");
	const uncaught = new Promise<unknown>((resolve) => {
		if ("Deno" in globalThis)
			globalThis.addEventListener(
				"error",
				(event) => {
					event.preventDefault();
					resolve((event as unknown as { readonly error: unknown }).error);
				},
				{ once: true },
			);
		else globalThis.process.once("uncaughtException", resolve);
	});
	const stop = guest.serial.listen(() => {
		stop();
		throw failure;
	});
	assert.is(await uncaught, failure);
	const console = new Console();
	console.follow(guest);
	await console.more(20);
	assert.is(letterFault(console.text), undefined);
});

test("a machine's frames come out after its step, and those that are no Ethernet frames are counted instead", async () => {
	const given: Uint8Array[] = [];
	const errors: unknown[] = [];
	const card = new NetworkCard(
		(frame) => given.push(frame),
		() => "",
		(error) => errors.push(error),
	);
	const got: number[] = [];
	card.listen(() => {
		throw new RangeError("frame: refused");
	});
	card.listen((frame) => got.push(frame.byteLength));
	for (const byteLength of [0, 13, 14, 60, 1514, 1518, 1519, 60_000]) card.put(new Uint8Array(byteLength));
	assert.equal(got, [], "nothing of the user's runs inside the step");
	card.flush();
	assert.equal(got, [14, 60, 1514, 1518]);
	assert.is(errors.length, 4);
	assert.is(card.badFrames, 4);
	card.flush();
	assert.is(got.length, 4, "none twice");
	card.open = true;
	for (const byteLength of [0, 13, 60, 1519, 65_600]) card.deliver(new Uint8Array(byteLength));
	assert.equal(
		given.map(({ byteLength }) => byteLength),
		[60],
	);
	assert.is(card.badFrames, 8);
});

test("a listener that answers at once is not called inside the machine", async () => {
	const { machine, frames } = await machineThatSends();
	// The card's own ports, as its driver writes them: 60 bytes from its memory's page 0x40.
	const io = (machine.cpu as unknown as { readonly io: { port_write8(port: number, value: number): void } }).io;
	const { port } = machine.cpu.devices.net as unknown as { readonly port: number };
	const send = (byteLength: number): void => {
		io.port_write8(port, 0x22); // page 0, started
		io.port_write8(port + 4, 0x40);
		io.port_write8(port + 5, byteLength & 0xff);
		io.port_write8(port + 6, byteLength >> 8);
		io.port_write8(port, 0x26); // sends
	};
	send(60);
	send(5);
	assert.equal(
		frames.map(({ byteLength }) => byteLength),
		[60, 5],
		"v86 passes on whatever the guest says is a frame",
	);
});

test("code that the host writes over is not executed any more, compiled or not", async () => {
	const guest = await oracle();
	const console = new Console();
	console.follow(guest);
	await console.more(60);
	assert.is(letterFault(console.text), undefined);
	const code = guest.readMemory(0x7c00, 512);
	// lea 'A'(%edx), %eax: 8d 42 41
	const at = code.findIndex((byte, index) => byte === 0x8d && code[index + 1] === 0x42 && code[index + 2] === 0x41);
	assert.ok(at > 0);
	guest.writeMemory(0x7c00 + at + 2, Uint8Array.of(0x61));
	const from = console.text.length;
	await console.more(40);
	assert.match(console.text.slice(from), /^[A-Z]{0,1}[a-z]{30,}/, "small letters from the next round on");
});

test("what devices write into RAM past the processor is dirty: direct memory access, blobs and single words", async () => {
	const { machine } = await machineThatSends();
	const written = new WrittenPages(machine);
	const cursor = written.open();
	const { cpu } = machine;
	const dma = (cpu.devices as unknown as { readonly dma: Dma }).dma;
	const page = (index: number): number => index * PAGE_BYTES;
	const channel = 2; // the floppy controller's
	dma.channel_addr[channel] = page(0xa0) % 0x10000;
	dma.channel_page[channel] = page(0xa0) >>> 16;
	dma.channel_count[channel] = 511;
	const sector = {
		byteLength: 512,
		get: (_: number, length: number, done: (data: Uint8Array) => void) => done(new Uint8Array(length).fill(7)),
	};
	dma.do_read(sector, 0, 512, channel, (failed) => assert.not(failed));
	assert.is(machine.ram[page(0xa0)], 7);
	cpu.write_blob(new Uint8Array(3 * PAGE_BYTES), page(0x200) - 1);
	cpu.write_blob(new Uint8Array(0), page(0x210));
	cpu.write8(page(0x220), 1);
	cpu.write16(page(0x231) - 1, 0x101);
	cpu.write32(page(0x241) - 3, 0x1010101);
	const { bits } = written.harvest(cursor);
	const dirty = [...bits.entries()].flatMap(([index, byte]) =>
		[0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => index * 8 + bit),
	);
	assert.equal(dirty, [0xa0, 0x1ff, 0x200, 0x201, 0x202, 0x220, 0x230, 0x231, 0x240, 0x241]);
	written.close(cursor);
	machine.cpu.write8(page(0x300), 1);
	assert.is(written.harvest(written.open()).dirtyCount, 0, "nobody watched");
});

for (const tracker of ["page-walk", "scan"] as const)
	test(`v86's memory may grow between any two calls: ${tracker}`, async () => {
		const { v86, last } = watchedV86();
		const guest = await oracle({ tracker, v86 });
		const grow = (): void => {
			const memory = last().v86.cpu.wasm_memory;
			const { buffer } = memory;
			memory.grow(1);
			assert.is(buffer.byteLength, 0, "every view of it is of no use any more");
		};
		const console = new Console();
		console.follow(guest);
		const cursor = await guest.dirty.open();
		await guest.pause({ deadlineMs: 1000 });
		const state = await guest.state.capture();
		grow();
		assert.equal(await guest.state.capture(), state);
		const before = (await guest.pages.hashes(0, 8)).toString();
		grow();
		assert.is((await guest.pages.hashes(0, 8)).toString(), before);
		// Pages travel as they were at the last harvest where they are scanned.
		await cursor.harvest();
		const batch = await guest.pages.encode(Uint32Array.of(0, 7, 8), { compress: true });
		assert.is(batch.hashes.subarray(0, 16).toString(), (await guest.pages.hashes(0, 1)).toString());
		grow();
		await guest.resume();
		await console.more(40);
		await cursor.harvest();
		grow();
		guest.writeMemory(0x200 * PAGE_BYTES, Uint8Array.of(1));
		const { bits } = await cursor.harvest();
		assert.is(bits[0x200 / 8]! & 1, 1);
		grow();
		await cursor.close();
		await console.more(10);
		const { result, target } = await moveV86(guest, bootSectorFactory(), preCopy, { console });
		assert.is(result.outcome, "moved");
		open.add(target!);
		await console.more(40);
		assert.is(letterFault(console.text), undefined);
	});

/** v86's controller for direct memory access, as its devices use it. */
interface Dma {
	readonly channel_addr: number[];
	readonly channel_page: number[];
	readonly channel_count: number[];
	do_read(buffer: object, start: number, length: number, channel: number, done: (failed: boolean) => void): void;
}

test.run();
