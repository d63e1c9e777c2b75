/** What the worker of a wasm guest runs on Node. */
import { startWasmGuestWorker } from "../../guests/wasm/worker-side.ts";
import { nodeWorkerScope } from "./worker-scope.ts";

startWasmGuestWorker(nodeWorkerScope());
