import { suite } from "uvu";
import { nodeWorkers } from "../../bindings/platform/node/workers.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { workerContract } from "./suites/worker.ts";

const test = suite("workers");
workerContract(test, nodeWorkers({ "wasm-guest": nodeRuntime.programUrl("echo-node-worker") }), nodeRuntime);
test.run();
