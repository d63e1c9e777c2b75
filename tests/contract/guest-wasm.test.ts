import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import type { ScratchRequest } from "../wasm/scratch-program.ts";
import { guestContract } from "./suites/guest.ts";

const ports = await guestPorts();
const url = programUrl("scratch");

guestContract({
	name: "wasm",
	growPages: 16,
	propertyRuns: 40,
	factory: () => WasmGuestFactory.open({ ...ports, programUrls: [url] }),
	async create() {
		const guest = await startWasmGuest({ ...ports, programUrl: url });
		const call = (request: ScratchRequest): Promise<unknown> => guest.call(request);
		return {
			guest,
			// Page 0 holds what the module's start function wrote.
			firstPage: 1,
			freePages: 15,
			write: async (at, bytes) => void (await call({ do: "write", at, bytes })),
			read: async (at, byteLength) => (await call({ do: "read", at, byteLength })) as Uint8Array,
			grow: async () => void (await call({ do: "grow", wasmPages: 1 })),
		};
	},
});
