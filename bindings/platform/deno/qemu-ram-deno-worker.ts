/** A worker beside a QEMU guest's memory on Deno: its own entry, bundled beside the main one. */
import { startQemuRamWorker } from "../../guests/qemu/ram-worker.ts";
import { denoPageFiles } from "./host-files.ts";
import { denoWorkerScope } from "./worker-scope.ts";

startQemuRamWorker(denoWorkerScope(), denoPageFiles);
