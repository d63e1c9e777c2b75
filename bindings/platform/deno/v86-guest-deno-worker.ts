/** The worker of a v86 guest on Deno: its own entry, bundled beside the main one. */
import { startV86GuestWorker } from "../../guests/v86/worker-side.ts";
import { denoHostFiles } from "./host-files.ts";
import { denoWorkerScope } from "./worker-scope.ts";

startV86GuestWorker(denoWorkerScope(), denoHostFiles);
