import { suite } from "uvu";
import { byteStreamContract } from "./suites/byte-stream.ts";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { withUnixPair } from "./suites/stream-pairs.ts";

const test = suite("byte stream over a unix-domain socket");
byteStreamContract(test, withUnixPair(denoRuntime));
test.run();
