import { suite } from "uvu";
import { byteStreamContract } from "./suites/byte-stream.ts";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { tcpPair } from "./suites/stream-pairs.ts";

const test = suite("byte stream over TCP");
byteStreamContract(test, () => tcpPair(denoRuntime));
test.run();
