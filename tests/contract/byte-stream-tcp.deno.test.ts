import { suite } from "uvu";
import { byteStreamContract } from "./suites/byte-stream.ts";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { withTcpPair } from "./suites/stream-pairs.ts";

const test = suite("byte stream over TCP");
byteStreamContract(test, withTcpPair(denoRuntime));
test.run();
