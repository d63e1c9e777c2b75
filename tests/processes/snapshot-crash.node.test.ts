import { suite } from "uvu";
import { nodeRuntime } from "../contract/suites/node-runtime.ts";
import { snapshotCrashes } from "./snapshot-crash-suite.ts";

const test = suite("snapshot store: killed writers");
snapshotCrashes(test, nodeRuntime);
test.run();
