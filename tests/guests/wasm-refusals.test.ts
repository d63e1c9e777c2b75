// What post-copy does not take is refused by name, and what is taken although it looks dangerous behaves as it always does.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { ask, discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

const test = suite("wasm guest: refused by name");
test.after.each(discardGuests);

for (const technique of [postCopy, hybrid])
	test(`${technique.name} of a program that does not declare its host access names the program, and what to do`, async () => {
		const { clock } = await guestPorts();
		const guest = await startGuest("scratch", { moduleBytes: scratchModule("own") });
		const [near] = openLinkPair();
		const result = await technique({ guest, link: near, clock, random: systemRandom });
		assert.ok(result.outcome === "kept" && result.error.code === "refused");
		assert.match(
			result.error.message,
			/program \S+ does not declare its host access.*docs\/programs\.md.*use pre-copy/,
		);
		assert.ok(await ask(guest, { do: "count" }), "it runs on");
	});

test("a shared memory is refused when the guest is started", async () => {
	const error = await rejection(startGuest("scratch", { moduleBytes: scratchModule("shared") }));
	assert.is(error.code, "shared-memory");
	assert.match(error.message, /build the program without threads/);
});

if (supportsInstrumentation())
	test("the source is gone: the target names the pages that are lost, and goes on with zeros or not at all", async () => {
		const ports = await guestPorts();
		const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl("paged")] });
		for (const lost of ["zeros", "discard"] as const) {
			const source = await startGuest("paged", { moduleBytes: pagedModule(16) });
			await source.call({ write: 9 * 4096, bytes: Uint8Array.of(1, 2, 3) });
			const [near, far] = openLinkPair();
			const arriving = receiveGuest({ link: far, factories: [factory], clock: ports.clock });
			const moving = postCopy(
				{ guest: source, link: near, clock: ports.clock, random: systemRandom },
				{ push: demandPaging() },
			);
			const arrived = await arriving;
			if (arrived.outcome !== "running" || arrived.paging === undefined) throw new Error(arrived.outcome);
			const target = keep(arrived.guest) as typeof source;
			assert.equal(await target.call({ call: "load8", values: [9 * 4096] }), 1);
			near.abort(new Error("the source is gone"));
			await source.discard();
			assert.is((await arrived.paging.ended).outcome, "interrupted");
			const waiting = target
				.call({ call: "load8", values: [20 * 4096] })
				.catch((error: { code?: string }) => error.code);
			const end = await arrived.paging.abandon(lost);
			assert.ok(end.outcome === "lost");
			assert.is(end.missingPages, 255);
			assert.is(end.missing[1]! & 0b10, 0, "page 9 had come");
			assert.is(end.missing[2]! & 0b1_0000, 0b1_0000, "page 20 is lost");
			assert.is(await waiting, lost === "zeros" ? 0 : "gone");
			if (lost === "zeros") assert.equal(await target.call({ read: 9 * 4096, byteLength: 3 }), Uint8Array.of(1, 2, 3));
			assert.is((await moving).outcome, "interrupted");
		}
	});

test.run();
