import { suite } from "uvu";
import { byteStreamContract } from "./suites/byte-stream.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";
import { withTcpPair } from "./suites/stream-pairs.ts";

const test = suite("byte stream over TCP");
byteStreamContract(test, withTcpPair(nodeRuntime));
test.run();
