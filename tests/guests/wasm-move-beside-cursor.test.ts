// A move beside somebody else's dirty cursor (a history, say): what that cursor has not harvested yet moves along.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, keep, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";

const test = suite("wasm guest: a move beside another dirty cursor");
test.after.each(discardGuests);

for (const technique of ["stop-and-copy", "post-copy"] as const)
	test(`${technique} takes what was written since that cursor looked last`, async () => {
		if (technique === "post-copy" && !supportsInstrumentation()) return; // refused there: wasm-faults.test.ts
		const ports = await guestPorts();
		const source = await startGuest("paged", { moduleBytes: pagedModule(16) });
		const cursor = await source.dirty.open();
		await source.call({ write: 9 * 4096, bytes: Uint8Array.of(1, 2, 3) });
		const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl("paged")] });
		const [near, far] = openLinkPair();
		const arriving = receiveGuest({ link: far, factories: [factory], clock: ports.clock });
		const services = { guest: source, link: near, clock: ports.clock, random: systemRandom };
		const moving = technique === "post-copy" ? postCopy(services) : stopAndCopy(services);
		const arrived = await arriving;
		if (arrived.outcome !== "running") throw new Error(String((arrived as { error?: unknown }).error));
		const target = keep(arrived.guest) as WasmGuest;
		assert.equal(await target.call({ read: 9 * 4096, byteLength: 3 }), Uint8Array.of(1, 2, 3));
		const result = await moving;
		assert.is(result.outcome, "moved", String((result as { error?: unknown }).error));
		await cursor.close();
	});

test.run();
