/** A worker beside a QEMU guest's memory on Node: its own entry, bundled beside the main one. */
import { startQemuRamWorker } from "../../guests/qemu/ram-worker.ts";
import { nodePageFiles } from "./host-files.ts";
import { nodeWorkerScope } from "./worker-scope.ts";

startQemuRamWorker(nodeWorkerScope(), nodePageFiles);
