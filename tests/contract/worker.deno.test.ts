import { suite } from "uvu";
import { denoWorkers } from "../../bindings/platform/deno/workers.ts";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { workerContract } from "./suites/worker.ts";

const test = suite("workers");
workerContract(test, denoWorkers({ "wasm-guest": denoRuntime.programUrl("echo-deno-worker") }), denoRuntime);
test.run();
