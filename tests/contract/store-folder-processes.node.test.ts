import { suite } from "uvu";
import { folderStoreProcesses } from "./suites/folder-store-processes.ts";
import { nodeRuntime } from "./suites/node-runtime.ts";

const test = suite("folder store among processes");
folderStoreProcesses(test, nodeRuntime);
test.run();
