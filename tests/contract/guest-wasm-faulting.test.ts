import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest, WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { discardGuests, startGuest } from "../wasm/open-guests.ts";
import type { PagedRequest } from "../wasm/paged-program.ts";
import { faultingGuestContract } from "./suites/faulting-guest.ts";

const ports = await guestPorts();
const url = programUrl("paged");

function ask(guest: Guest, request: PagedRequest): Promise<unknown> {
	if (!(guest instanceof WasmGuest)) throw new TypeError("no wasm guest");
	return guest.call(request);
}

if (supportsInstrumentation())
	faultingGuestContract({
		name: "wasm",
		factory: () => WasmGuestFactory.open({ ...ports, programUrls: [url] }),
		async create() {
			const guest = await startWasmGuest({ ...ports, programUrl: url });
			return {
				guest,
				firstPage: 1,
				freePages: 200,
				write: async (at, bytes) => void (await ask(guest, { write: at, bytes })),
			};
		},
		read: async (target, at, byteLength) => (await ask(target, { read: at, byteLength })) as Uint8Array,
		write: async (target, at, bytes) => void (await ask(target, { write: at, bytes })),
	});

const test = suite("faulting wasm guests: where there are any");
test.after.each(discardGuests);

test("a runtime without a second memory refuses at the handshake", async () => {
	const { state } = await startGuest("paged");
	const factory = await WasmGuestFactory.open({ ...ports, programUrls: [url] });
	const facts = factory.check(state.layout(), { faulting: true }).map(({ fact }) => fact);
	assert.equal(facts, supportsInstrumentation() ? [] : ["faulting"]);
});

test.run();
