/** The worker of a wasm guest on Deno: its own entry, bundled beside the main one. */
import { startWasmGuestWorker } from "../../guests/wasm/worker-side.ts";
import { denoWorkerScope } from "./worker-scope.ts";

startWasmGuestWorker(denoWorkerScope());
