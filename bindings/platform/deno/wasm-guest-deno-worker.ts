/** What the worker of a wasm guest runs on Deno. */
import { startWasmGuestWorker } from "../../guests/wasm/worker-side.ts";
import { denoWorkerScope } from "./worker-scope.ts";

startWasmGuestWorker(denoWorkerScope());
