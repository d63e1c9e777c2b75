import { suite } from "uvu";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { listenerContract } from "./suites/listener.ts";

const test = suite("connect and listen");
listenerContract(test, denoRuntime);
test.run();
