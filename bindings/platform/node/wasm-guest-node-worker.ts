/** The worker of a wasm guest on Node: its own entry, bundled beside the main one. */
import { startWasmGuestWorker } from "../../guests/wasm/worker-side.ts";
import { nodeWorkerScope } from "./worker-scope.ts";

startWasmGuestWorker(nodeWorkerScope());
