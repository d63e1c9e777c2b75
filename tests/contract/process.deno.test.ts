import { suite } from "uvu";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { processContract } from "./suites/process.ts";

const test = suite("processes");
processContract(test, denoRuntime);
test.run();
