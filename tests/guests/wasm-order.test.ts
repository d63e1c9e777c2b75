// The order in which a wasm guest uses its pages, and post-copy that pushes along it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { activePush } from "../../bindings/policies/push-order.ts";
import { isOrderedGuest, type OrderedGuest } from "../../bindings/ports/ordered-guest.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { type PagedFunction, pagedModule } from "../wasm/paged-module.ts";
import { postCopyByHand } from "../wasm/post-copy-by-hand.ts";

const test = suite("wasm guest: order of use");
test.after.each(discardGuests);

const PAGE = 4096;
const run = (guest: WasmGuest, name: PagedFunction, ...values: number[]): Promise<unknown> =>
	guest.call({ call: name, values });

function ordered(guest: WasmGuest): WasmGuest & OrderedGuest {
	if (!isOrderedGuest(guest)) throw new TypeError("no ordered guest");
	return guest;
}

async function pagedGuest(options: { tracker?: "barrier" } = {}): Promise<WasmGuest & OrderedGuest> {
	return ordered(await startGuest("paged", { moduleBytes: pagedModule(16), ...options }));
}

if (supportsInstrumentation()) {
	for (const tracker of ["scan", "barrier"] as const)
		test(`loads, stores and host code are seen, the last use first; beside the tracker ${tracker}`, async () => {
			const guest = await pagedGuest(tracker === "barrier" ? { tracker } : {});
			assert.is(guest.order.source, "accesses");
			assert.is((await guest.memoryUse()).code, "plain");
			const dirty = await guest.dirty.open();
			const cursor = await guest.order.open();
			assert.equal([...(await cursor.recentFirst())], []);
			await run(guest, "load8", 40 * PAGE);
			await run(guest, "store8", 7 * PAGE, 1);
			await guest.call({ read: 100 * PAGE, byteLength: 2 * PAGE });
			await run(guest, "copy", 60 * PAGE, 50 * PAGE, PAGE);
			assert.equal([...(await cursor.recentFirst())], [50, 60, 101, 100, 7, 40]);
			const { bits } = await dirty.harvest();
			assert.ok((bits[0]! & 0x80) !== 0, "the tracker works beside it");
			assert.is((bits[5]! & 1) !== 0, false, "a load is no write");
			await cursor.close();
			await dirty.close();
			assert.is((await guest.memoryUse()).code, "plain");
			assert.equal([...(await cursor.recentFirst())], [], "nothing is known once nobody looks");
		});

	test("results are the same while uses are sampled, and two readers share what is known", async () => {
		const guest = await pagedGuest();
		await run(guest, "store8", 3 * PAGE, 9);
		const first = await guest.order.open();
		const second = await guest.order.open();
		assert.is(await run(guest, "load8", 3 * PAGE), 9);
		await first.close();
		await first.close();
		await run(guest, "load8", 4 * PAGE);
		assert.equal([...(await second.recentFirst())], [4, 3]);
		await second.close();
	});

	test("a page that is used in a later turn is the most recent one again", async () => {
		const guest = await pagedGuest();
		const cursor = await guest.order.open();
		await run(guest, "load8", PAGE);
		await run(guest, "load8", 2 * PAGE);
		// As often as it takes for a turn to end: within one turn a page is noted once.
		for (let pages = [2, 1]; pages[0] !== 1; pages = [...(await cursor.recentFirst())]) await run(guest, "load8", PAGE);
		await cursor.close();
	});

	test("post-copy by lru pushes what was used last first; by address it does not ask", async () => {
		const factory = await WasmGuestFactory.open({ ...(await guestPorts()), programUrls: [programUrl("paged")] });
		for (const order of ["lru", "address"] as const) {
			const { clock } = await guestPorts();
			const source = await pagedGuest();
			const [near, far] = openLinkPair();
			const arriving = receiveGuest({ link: far, factories: [factory], clock });
			const moving = postCopy(
				{ guest: source, link: near, clock, random: systemRandom },
				{ order, learnMs: 0, push: activePush() },
			);
			const sent: number[] = [];
			const encode = source.pages.encode.bind(source.pages);
			const encodeNow = source.pages.encodeNow.bind(source.pages);
			Object.assign(source.pages, {
				encodeNow: (pages: Uint32Array, options: { compress: boolean }) => {
					const batch = encodeNow(pages, options);
					if (batch !== undefined) sent.push(...pages);
					return batch;
				},
				encode: (pages: Uint32Array, options: { compress: boolean }) => {
					sent.push(...pages);
					return encode(pages, options);
				},
			});
			// Calls go on until the guest leaves.
			for (let page = 200; ; page = page === 200 ? 210 : 200)
				try {
					await run(source, "load8", page * PAGE);
				} catch {
					break;
				}
			const arrived = await arriving;
			if (arrived.outcome === "running") keep(arrived.guest);
			const result = await moving;
			assert.is(result.outcome, "moved");
			const { paging } = result.metrics;
			assert.is(paging?.order, order === "lru" ? "accesses" : "address");
			if (order === "lru") {
				assert.is(paging?.knownPages, 2);
				assert.equal(new Set(sent.slice(0, 8)).has(200) && new Set(sent.slice(0, 8)).has(210), true, String(sent));
			} else assert.is(paging?.knownPages, 0);
		}
	});

	test("a guest with missing pages refuses by name", async () => {
		const factory = await WasmGuestFactory.open({ ...(await guestPorts()), programUrls: [programUrl("paged")] });
		const { target, finish } = await postCopyByHand(await pagedGuest(), factory);
		assert.is((await rejection(ordered(target).order.open())).code, "missing");
		await finish();
		const cursor = await ordered(target).order.open();
		await run(target, "load8", 9 * PAGE);
		assert.equal([...(await cursor.recentFirst())], [9]);
		await cursor.close();
	});
} else
	test("without a second memory uses are known by writes", async () => {
		const guest = await pagedGuest();
		assert.is(guest.order.source, "writes");
		const cursor = await guest.order.open();
		const last = async (): Promise<number | undefined> => (await cursor.recentFirst())[0];
		let value = 0;
		while ((await last()) !== 5) await run(guest, "store8", 5 * PAGE, ++value & 0xff);
		while ((await last()) !== 9) await run(guest, "store8", 9 * PAGE, ++value & 0xff);
		assert.equal([...(await cursor.recentFirst())], [9, 5]);
		await cursor.close();
	});

test("a program that does not declare its host access has no order", async () => {
	const { scratchModule } = await import("../wasm/scratch-module.ts");
	assert.not(isOrderedGuest(await startGuest("scratch", { moduleBytes: scratchModule("own") })));
});

test.run();
