import { suite } from "uvu";
import { byteStreamContract } from "./suites/byte-stream.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { withUnixPair } from "./suites/stream-pairs.ts";

const test = suite("byte stream over a unix-domain socket");
byteStreamContract(test, withUnixPair(nodeRuntime));
test.run();
