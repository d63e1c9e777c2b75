// The state and the layout of a wasm guest, seen from the host.
import { type GuestLayout, type GuestState, PAGE_BYTES } from "../../ports/guest.ts";
import type { ModuleFact, ProgramFacts, StartedFacts } from "./protocol.ts";
import { STATE_VERSION } from "./state-format.ts";
import { compact, type WorkerClient } from "./worker-client.ts";

/** Name of the one resource of a wasm guest. */
export const MODULE_RESOURCE = "module";

/** See the head of this file. */
export class WasmGuestState implements GuestState {
	readonly #worker: WorkerClient;
	readonly #facts: StartedFacts;
	readonly #currentPageCount: () => number;

	constructor(worker: WorkerClient, facts: StartedFacts, currentPageCount: () => number) {
		this.#worker = worker;
		this.#facts = facts;
		this.#currentPageCount = currentPageCount;
	}

	layout(): GuestLayout {
		const { program, module, maximumPageCount } = this.#facts;
		return {
			kind: "wasm",
			pageBytes: PAGE_BYTES,
			pageCount: this.#currentPageCount(),
			maximumPageCount,
			resources: [moduleResource(module)],
			facts: layoutFacts(program),
		};
	}

	async capture(): Promise<Uint8Array<ArrayBuffer>> {
		return (await this.#worker.run({ name: "capture" })).bytes;
	}

	async restore(bytes: Uint8Array): Promise<void> {
		await this.#worker.run({ name: "restore", bytes: compact(bytes) });
	}

	async resource(hash: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
		if (hash !== this.#facts.module.hash) return undefined;
		return (await this.#worker.run({ name: "module-bytes" })).bytes;
	}
}

function moduleResource({ hash, byteLength }: ModuleFact): GuestLayout["resources"][number] {
	return { name: MODULE_RESOURCE, hash, byteLength };
}

/** What both sides of a move must agree on, by name. */
export function layoutFacts({ name, version, clock, random }: ProgramFacts): Readonly<Record<string, string>> {
	return { program: name, programVersion: version, clock, random, stateVersion: String(STATE_VERSION) };
}
