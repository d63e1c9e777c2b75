// What tests of wasm guests need of the runtime they run on.
import type { Clock } from "../../bindings/ports/clock.ts";
import type { WorkerPort } from "../../bindings/ports/worker.ts";

export interface GuestPorts {
	readonly workers: WorkerPort;
	readonly clock: Clock;
}

/** The real workers and the real clock of Node or Deno. */
export async function guestPorts(): Promise<GuestPorts> {
	const { systemClock } = await import("../../bindings/platform/system-clock.ts");
	if ("Deno" in globalThis) {
		const { denoWorkers } = await import("../../bindings/platform/deno/workers.ts");
		return { workers: denoWorkers(), clock: systemClock };
	}
	const { nodeWorkers } = await import("../../bindings/platform/node/workers.ts");
	return { workers: nodeWorkers(), clock: systemClock };
}

/** URL of tests/programs/NAME.ts: bundled, it lies beside the suites. */
export function programUrl(name: string): string {
	return new URL(import.meta.url.endsWith(".ts") ? `../programs/${name}.ts` : `./${name}.js`, import.meta.url).href;
}
