// An AssemblyScript guest whose allocator has a balloon, in a real worker: self-ballooning, and moves by every technique.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { isBallooningGuest } from "../../bindings/ports/ballooning-guest.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { BallooningRequest } from "../programs/ballooning.ts";
import { ballooningModule } from "../wasm/ballooning-module.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";

const test = suite("wasm guest with a balloon");
test.after.each(discardGuests);

/** Pages that the module's allocator has. */
const HEAP_PAGES = 1008;
const USED = 100;

const ask = async (guest: WasmGuest, call: BallooningRequest["call"], value = 0): Promise<number> =>
	Number(await guest.call({ call, value }));

/** All pages filled once and all but some freed again, so that what is free is not zero; then one turn of the loop. */
async function ballooned(): Promise<{ readonly guest: WasmGuest; readonly pointers: number[]; readonly out: number }> {
	const { clock } = await guestPorts();
	const guest = await startGuest("ballooning", { moduleBytes: await ballooningModule() });
	assert.ok(isBallooningGuest(guest));
	const pointers: number[] = [];
	for (let i = 0; i < HEAP_PAGES; i++) pointers.push(await ask(guest, "allocate", i + 1));
	for (const pointer of pointers.splice(USED)) await ask(guest, "release", pointer);
	const ballooning = startSelfBallooning({ guest, clock }, { intervalMs: 1 });
	while (ballooning.balloonPages === 0) await clock.sleep(1);
	await ballooning.stop();
	return { guest, pointers, out: ballooning.balloonPages };
}

const TECHNIQUES = { "stop-and-copy": stopAndCopy, "pre-copy": preCopy, "post-copy": postCopy, hybrid };

for (const [name, technique] of Object.entries(TECHNIQUES))
	test(`${name} leaves out what is in the balloon, and the target knows its balloon`, async () => {
		if ((name === "post-copy" || name === "hybrid") && !supportsInstrumentation())
			return console.log("skipped: no second memory");
		const { clock, workers } = await guestPorts();
		const { guest, pointers, out } = await ballooned();
		assert.is(out, Math.floor((HEAP_PAGES - USED) * 0.95));
		const before = guest.pages.pageCount;
		const [near, far] = openLinkPair();
		const factory = await WasmGuestFactory.open({ clock, workers, programUrls: [programUrl("ballooning")] });
		const arriving = receiveGuest({ link: far, factories: [factory], clock });
		const moving: Promise<PostCopyResult> = technique(
			{ guest, link: near, clock, random: systemRandom },
			{ verification: "full" },
		);
		const arrived = await arriving;
		assert.is(arrived.outcome, "running", String((arrived as { error?: unknown }).error));
		if (arrived.outcome !== "running" || !(arrived.guest instanceof WasmGuest)) return;
		const target = keep(arrived.guest);
		const result = await moving;
		assert.is(result.outcome, "moved", String("error" in result ? result.error : ""));
		const sent = result.metrics.pagesTransferred;
		assert.ok(sent <= before - out + 8, `${sent} pages sent of ${before}, ${out} are in the balloon`);
		for (const [i, pointer] of pointers.entries())
			assert.is(await ask(target, "sum", pointer), ((i + 1) * PAGE_BYTES) / 4);
		assert.ok(isBallooningGuest(target));
		if (!isBallooningGuest(target)) return;
		const bits = await target.balloon.out();
		assert.is(
			bits.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0),
			out,
		);
		// What comes back is zero, and there is enough of it.
		const [page] = await target.balloon.deflate(1);
		assert.is(await ask(target, "sum", page! * PAGE_BYTES), 0);
	});

test("under pressure the module takes pages back within a call, and the next report says so", async () => {
	const { guest, out } = await ballooned();
	if (!isBallooningGuest(guest)) throw new TypeError("no balloon");
	const free = await ask(guest, "balloon_free");
	for (let i = 0; i <= free; i++) assert.ok((await ask(guest, "allocate", 7)) > 0);
	assert.equal(await guest.balloon.report(), { freePages: 127, pressurePages: 128 });
	assert.is((await guest.balloon.report()).pressurePages, 0);
	assert.ok(out > 128);
});

test("while the guest is paused its balloon says what it is and does not change", async () => {
	const { guest, out } = await ballooned();
	if (!isBallooningGuest(guest)) throw new TypeError("no balloon");
	await guest.pause({ deadlineMs: 1000 });
	assert.is((await rejection(guest.balloon.inflate(1))).code, "not-running");
	assert.is((await rejection(guest.balloon.deflate(1))).code, "not-running");
	const bits = await guest.balloon.out();
	assert.is(
		bits.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0),
		out,
	);
	await guest.resume();
});

test.run();
