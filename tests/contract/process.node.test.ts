import { suite } from "uvu";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { processContract } from "./suites/process.ts";

const test = suite("processes");
processContract(test, nodeRuntime);
test.run();
