/** The worker of a v86 guest on Node: its own entry, bundled beside the main one. */
import { startV86GuestWorker } from "../../guests/v86/worker-side.ts";
import { nodeHostFiles } from "./host-files.ts";
import { nodeWorkerScope } from "./worker-scope.ts";

startV86GuestWorker(nodeWorkerScope(), nodeHostFiles);
