import { suite } from "uvu";
import { denoRuntime } from "../contract/suites/deno-runtime.ts";
import { snapshotCrashes } from "./snapshot-crash-suite.ts";

const test = suite("snapshot store: killed writers");
snapshotCrashes(test, denoRuntime);
test.run();
