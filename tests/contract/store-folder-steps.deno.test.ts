import { suite } from "uvu";
import { denoFolderFiles } from "../../bindings/platform/deno/folder-files.ts";
import { denoRuntime } from "./suites/deno-runtime.ts";
import { folderStoreSteps } from "./suites/folder-store-steps.ts";

const test = suite("folder store, step by step");
folderStoreSteps(test, denoRuntime, denoFolderFiles);
test.run();
