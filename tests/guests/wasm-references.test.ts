// Waits on a memory that is not shared behave at a target as they do at the source; an object of the host in a table or a
// global is refused by its place, under every technique, and the guest runs on.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ProgramError } from "../../bindings/guests/wasm/errors.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import type { ReferencesRequest } from "../programs/references.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { postCopyByHand } from "../wasm/post-copy-by-hand.ts";

const test = suite("wasm guest: waits and host references");
test.after.each(discardGuests);

const ports = await guestPorts();
const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl("references")] });
const ask = (guest: WasmGuest, request: ReferencesRequest): Promise<unknown> => guest.call(request);

const TECHNIQUES = [stopAndCopy, preCopy, ...(supportsInstrumentation() ? [postCopy, hybrid] : [])];
const TRACKERS = supportsInstrumentation() ? (["scan", "barrier"] as const) : (["scan"] as const);

async function move(guest: WasmGuest, technique: (typeof TECHNIQUES)[number]) {
	const [near, far] = openLinkPair();
	const arriving = receiveGuest({ link: far, factories: [factory], clock: ports.clock });
	const result = await technique({ guest, link: near, clock: ports.clock, random: systemRandom });
	const arrived = await arriving;
	if (arrived.outcome === "running") keep(arrived.guest);
	return { result, arrived };
}

/** Nobody can notify anybody: a notification wakes none, and a wait is a trap, whatever it would wait for. */
async function waitsAsAlways(guest: WasmGuest): Promise<void> {
	assert.is(await ask(guest, { call: "notify", values: [8192, 1] }), 0);
	for (const [name, expected] of [
		["wait32", 1],
		["wait64", 1n],
	] as const) {
		const error = await rejection(ask(guest, { call: name, values: [16384, expected, 1_000_000n] }));
		assert.ok(error instanceof ProgramError && error.code === "trap", `${name}: ${error}`);
	}
	const misaligned = await rejection(ask(guest, { call: "notify", values: [8193, 1] }));
	assert.is(misaligned.code, "trap");
}

for (const tracker of TRACKERS)
	for (const technique of TECHNIQUES)
		test(`${technique.name} with a ${tracker}: waits as always; a host object is refused by its place until it is released`, async () => {
			const source = await startGuest("references", { tracker });
			await waitsAsAlways(source);
			assert.is(await ask(source, { call: "add", values: [20_000, 5] }), 0);
			for (const [where, place] of [
				[1, /slot 1 of table 0 \(externref\) holds a host object/],
				["global", /global 0 \(externref\) holds a host object/],
			] as const) {
				await ask(source, { put: where });
				const { result, arrived } = await move(source, technique);
				assert.is(result.outcome, "kept");
				assert.match(result.outcome === "kept" ? result.error.message : "", place);
				assert.is.not(arrived.outcome, "running");
				assert.equal(await ask(source, { look: where }), where === "global" ? true : [true, true], "it runs on");
				await ask(source, { release: where });
			}
			const { result, arrived } = await move(source, technique);
			assert.is(result.outcome, "moved", "error" in result ? String(result.error) : "");
			if (arrived.outcome !== "running") throw new Error(arrived.outcome);
			const target = arrived.guest as WasmGuest;
			await waitsAsAlways(target);
			assert.is(await ask(target, { call: "add", values: [20_000, 1] }), 5);
			assert.equal(await ask(target, { look: 1 }), [false, false]);
		});

if (supportsInstrumentation()) {
	test("while pages are missing a wait traps and a notification returns without waiting for any", async () => {
		const { target, asked, serve, finish } = await postCopyByHand(await startGuest("references"), factory);
		await waitsAsAlways(target);
		assert.equal(asked, []);
		serve();
		assert.is(await ask(target, { call: "add", values: [20_000, 1] }), 0);
		assert.equal(asked, [4], "an atomic access does wait");
		await finish();
		await waitsAsAlways(target);
	});

	test("a host object that arrives while pages are missing keeps the code that runs; nothing is lost", async () => {
		const { target, finish } = await postCopyByHand(await startGuest("references"), factory);
		await ask(target, { put: 0 });
		await ask(target, { put: "global" });
		await finish();
		assert.is((await target.memoryUse()).code, "presence");
		assert.equal(await ask(target, { look: 0 }), [true, true]);
		assert.is(await ask(target, { look: "global" }), true);
		await waitsAsAlways(target);
		const { result } = await move(target, preCopy);
		assert.match(result.outcome === "kept" ? result.error.message : "", /global 0 \(externref\) holds a host object/);
	});
}

test.run();
