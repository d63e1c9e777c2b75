import { suite } from "uvu";
import { nodeFolderFiles } from "../../bindings/platform/node/folder-files.ts";
import { folderStoreSteps } from "./suites/folder-store-steps.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";

const test = suite("folder store, step by step");
folderStoreSteps(test, nodeRuntime, nodeFolderFiles);
test.run();
