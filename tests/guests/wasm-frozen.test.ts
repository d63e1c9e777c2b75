// Batches of a paused guest that are made at once (guests/wasm/frozen-exchange.ts): the host stands still for them, the
// worker waits on shared memory and reads no messages.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { batchLimitBytes } from "../../bindings/engine/batch.ts";
import { FrozenAsker } from "../../bindings/guests/wasm/frozen-exchange.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { MAX_PROMPT_PAGES } from "../../bindings/ports/prompt-pages.ts";
import { discardGuests, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";
import type { PagedRequest } from "../wasm/paged-program.ts";

const test = suite("wasm guest: batches made at once");
test.after.each(discardGuests);

const PAGE = 4096;
const PAUSE = { deadlineMs: 5000 };

async function filledGuest(): Promise<WasmGuest> {
	const guest = await startGuest("paged", { moduleBytes: pagedModule(8) });
	for (let page = 0; page < guest.pages.pageCount; page += 2) {
		const request: PagedRequest = {
			write: page * PAGE,
			bytes: Uint8Array.from({ length: PAGE }, (_, i) => page + i * 7),
		};
		await guest.call(request);
	}
	return guest;
}

test("a batch made at once is the batch that a message brings", async () => {
	const guest = await filledGuest();
	await guest.pause(PAUSE);
	const all = Uint32Array.from({ length: MAX_PROMPT_PAGES }, (_, page) => page);
	for (const pages of [Uint32Array.of(4), Uint32Array.of(1), Uint32Array.of(2, 3, 90), all])
		for (const compress of [false, true]) {
			const now = guest.pages.encodeNow(pages, { compress });
			if (now === undefined) throw new Error("it was not made");
			const later = await guest.pages.encode(pages, { compress });
			assert.equal(now.bytes, later.bytes);
			assert.is(now.checksum, later.checksum);
			assert.is(now.zeroPages, later.zeroPages);
			assert.equal(now.hashes, later.hashes);
			now.release();
			later.release();
		}
});

test("any message ends it, and the guest runs on", async () => {
	const guest = await filledGuest();
	await guest.pause(PAUSE);
	const batch = guest.pages.encodeNow(Uint32Array.of(6), { compress: false });
	assert.is(batch?.pageIndices.length, 1);
	assert.is((await guest.pages.hashes(0, 8)).byteLength, 128);
	assert.is(guest.pages.encodeNow(Uint32Array.of(7), { compress: false })?.zeroPages, 1);
	await guest.resume();
	assert.is(guest.pages.encodeNow(Uint32Array.of(6), { compress: false }), undefined, "it runs");
	assert.equal(await guest.call({ read: 6 * PAGE, byteLength: 2 } satisfies PagedRequest), Uint8Array.of(6, 13));
	await guest.pause(PAUSE);
	assert.ok(guest.pages.encodeNow(Uint32Array.of(6), { compress: false }) !== undefined, "and again");
	await guest.discard();
	assert.is(guest.pages.encodeNow(Uint32Array.of(6), { compress: false }), undefined, "it is gone");
});

test("what a message would refuse is left to a message", async () => {
	const guest = await filledGuest();
	await guest.pause(PAUSE);
	const many = Uint32Array.from({ length: MAX_PROMPT_PAGES + 1 }, (_, page) => page);
	assert.is(guest.pages.encodeNow(many, { compress: false }), undefined, "too many");
	assert.is(guest.pages.encodeNow(new Uint32Array(0), { compress: false }), undefined, "none");
	const hashes = guest.pages.hashes(0, 8);
	assert.is(guest.pages.encodeNow(Uint32Array.of(6), { compress: false }), undefined, "the worker is at work");
	await hashes;
	assert.is(guest.pages.encodeNow(Uint32Array.of(9, 8), { compress: false }), undefined, "out of order");
	const error = await guest.pages.encode(Uint32Array.of(9, 8), { compress: false }).catch((reason: unknown) => reason);
	assert.match(String(error), "does not ascend");
});

test("a worker that is not there is not waited for for ever", () => {
	const asker = new FrozenAsker(20);
	asker.enter();
	const into = new Uint8Array(batchLimitBytes(1));
	assert.is(asker.ask({ pageIndices: Uint32Array.of(0), compress: false }, into), undefined);
});

test.run();
