import { suite } from "uvu";
import { listenerContract } from "./suites/listener.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";

const test = suite("connect and listen");
listenerContract(test, nodeRuntime);
test.run();
