import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";
import type { PagedRequest } from "../wasm/paged-program.ts";
import { guestContract } from "./suites/guest.ts";

const ports = await guestPorts();
const url = programUrl("paged");

if (supportsInstrumentation())
	guestContract({
		name: "wasm with a write barrier",
		growPages: 16,
		propertyRuns: 20,
		factory: () => WasmGuestFactory.open({ ...ports, programUrls: [url], tracker: "barrier" }),
		async create() {
			const moduleBytes = pagedModule(1);
			const guest = await startWasmGuest({ ...ports, programUrl: url, moduleBytes, tracker: "barrier" });
			const call = (request: PagedRequest): Promise<unknown> => guest.call(request);
			return {
				guest,
				firstPage: 0,
				freePages: 16,
				write: async (at, bytes) => {
					// By the module's own code where a single byte is written.
					if (bytes.length === 1) await call({ call: "store8", values: [at, bytes[0]!] });
					else await call({ write: at, bytes });
				},
				read: async (at, byteLength) => (await call({ read: at, byteLength })) as Uint8Array,
				grow: async () => void (await call({ call: "grow", values: [1] })),
			};
		},
	});

const test = suite("wasm guests with a write barrier: where there are any");
test.after.each(discardGuests);

test("a runtime without a second memory scans instead", async () => {
	const { dirty } = await startGuest("paged", { tracker: "barrier" });
	assert.is(dirty.tracker, supportsInstrumentation() ? "barrier" : "scan");
});

test.run();
