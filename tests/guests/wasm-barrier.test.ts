import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { StartWasmGuestOptions, WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import type { DirtyCursor } from "../../bindings/ports/guest.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { moveByHand } from "../wasm/move-by-hand.ts";
import { discardGuests, startGuest } from "../wasm/open-guests.ts";
import type { PagedFunction } from "../wasm/paged-module.ts";
import { postCopyByHand } from "../wasm/post-copy-by-hand.ts";

const test = suite("wasm guest: write barrier");
test.after.each(discardGuests);

const PAGE = 4096;
const barrier: Partial<StartWasmGuestOptions> = { tracker: "barrier" };

function run(guest: WasmGuest, name: PagedFunction, ...values: (number | bigint)[]): Promise<unknown> {
	return guest.call({ call: name, values });
}

async function harvested(cursor: DirtyCursor): Promise<number[]> {
	const { bits, pageCount } = await cursor.harvest();
	return Array.from({ length: pageCount }, (_, page) => page).filter((page) => (bits[page >> 3]! >> (page & 7)) & 1);
}

if (supportsInstrumentation()) {
	test("marks what code and declared host code write while a cursor is open, and nothing else", async () => {
		const guest = await startGuest("paged", barrier);
		assert.is(guest.dirty.tracker, "barrier");
		assert.is((await guest.memoryUse()).code, "plain");
		await run(guest, "store8", 3 * PAGE, 1);
		const cursor = await guest.dirty.open();
		assert.is((await guest.memoryUse()).code, "barrier");
		assert.equal(await harvested(cursor), []);
		await run(guest, "store8", 5 * PAGE + 9, 1);
		await run(guest, "store64", 9 * PAGE - 4, 0x0102030405060708n);
		await run(guest, "fill", 20 * PAGE + 5, 7, 2 * PAGE);
		await guest.call({ write: 40 * PAGE - 1, bytes: Uint8Array.of(1, 2) });
		await run(guest, "load8", 60 * PAGE);
		assert.equal(await harvested(cursor), [5, 8, 9, 20, 21, 22, 39, 40]);
		assert.equal(await harvested(cursor), []);
		await run(guest, "grow", 1);
		await run(guest, "store8", 256 * PAGE, 1);
		assert.equal(
			await harvested(cursor),
			Array.from({ length: 16 }, (_, i) => 256 + i),
		);
		await cursor.close();
		assert.is((await guest.memoryUse()).code, "plain");
		const { shadowBytes } = await guest.memoryUse();
		assert.is(shadowBytes, 0, "no second copy of the memory");
	});

	test("two cursors have their own bits, and the code stays until both are closed", async () => {
		const guest = await startGuest("paged", barrier);
		const first = await guest.dirty.open();
		await run(guest, "store8", PAGE, 1);
		const second = await guest.dirty.open();
		await run(guest, "store8", 2 * PAGE, 1);
		assert.equal(await harvested(second), [2]);
		assert.equal([...(await first.peek(0, 8))], [0b110]);
		await first.putBack(Uint8Array.of(0b1000));
		assert.equal(await harvested(first), [1, 2, 3]);
		await first.close();
		assert.is((await guest.memoryUse()).code, "barrier");
		await second.close();
		assert.is((await guest.memoryUse()).code, "plain");
	});

	for (const [program, history] of Object.entries(HISTORIES))
		test(`${program} moves by hand under a verified barrier: it misses nothing`, async () => {
			const source = await startGuest(program, { tracker: "verified-barrier" });
			const undisturbed = await startGuest(program);
			let number = 0;
			const work = async (guest: WasmGuest, count: number): Promise<void> => {
				for (const end = number + count; number < end; number++) await guest.call({ number, request: history(number) });
			};
			await work(source, 40);
			const factory = await WasmGuestFactory.open({ ...(await guestPorts()), programUrls: [programUrl(program)] });
			const cursor = await source.dirty.open();
			for (let round = 0; round < 5; round++) {
				await work(source, 20);
				await cursor.harvest();
			}
			const working = work(source, 60);
			await cursor.harvest();
			await working;
			await cursor.harvest();
			const report = await source.barrierReport();
			assert.ok(report!.changedPages > 0);
			assert.equal(report!.missed, []);
			await cursor.close();
			const { target } = await moveByHand(source, factory);
			for (let i = 0; i < number; i++) await undisturbed.call({ number: i, request: history(i) });
			assert.is(await (target as WasmGuest).call({ digest: true }), await undisturbed.call({ digest: true }));
		});

	test("a verified barrier catches host code that writes without saying so", async () => {
		const guest = await startGuest("sneaky", { tracker: "verified-barrier" });
		const cursor = await guest.dirty.open();
		await guest.call({ at: 3 * PAGE, declared: true });
		assert.equal(await harvested(cursor), [3]);
		assert.is((await guest.barrierReport())!.missedPages, 0);
		await guest.call({ at: 7 * PAGE, declared: false });
		assert.equal(await harvested(cursor), [7], "what either has found is harvested");
		const report = await guest.barrierReport();
		assert.equal(report!.missed, [7]);
		assert.is(report!.missedPages, 1);
		await cursor.close();
	});

	test("writes are tracked while pages are missing, and afterwards", async () => {
		const source = await startGuest("paged");
		await run(source, "store8", 5 * PAGE, 55);
		const programUrls = [programUrl("paged")];
		const factory = await WasmGuestFactory.open({ ...(await guestPorts()), programUrls, tracker: "barrier" });
		const { target, serve, finish } = await postCopyByHand(source, factory);
		serve();
		assert.is((await target.memoryUse()).code, "watched");
		const cursor = await target.dirty.open();
		assert.is(await run(target, "load8", 5 * PAGE), 55);
		await run(target, "store8", 6 * PAGE, 1);
		assert.equal(await harvested(cursor), [6]);
		const batch = await target.pages.encode(Uint32Array.of(6), { compress: false });
		batch.release();
		await run(target, "store8", 7 * PAGE, 1);
		await finish();
		assert.is((await target.memoryUse()).code, "barrier");
		await run(target, "store8", 8 * PAGE, 1);
		assert.equal(await harvested(cursor), [7, 8]);
		await cursor.close();
		assert.is((await target.memoryUse()).code, "plain");
	});
}

test("without a second memory, or without declared host access, the memory is scanned, and the guest says so", async () => {
	const scanned = await startGuest(supportsInstrumentation() ? "scratch" : "paged", barrier);
	assert.is(scanned.dirty.tracker, "scan");
	const cursor = await scanned.dirty.open();
	await cursor.close();
});

test.run();
