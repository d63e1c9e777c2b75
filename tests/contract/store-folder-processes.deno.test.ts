import { suite } from "uvu";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { folderStoreProcesses } from "./suites/folder-store-processes.ts";

const test = suite("folder store among processes");
folderStoreProcesses(test, denoRuntime);
test.run();
