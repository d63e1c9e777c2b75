// The test worker on Deno.
import { denoWorkerScope } from "../../bindings/platform/deno/worker-scope.ts";
import { startEcho } from "./echo.ts";

startEcho(denoWorkerScope());
