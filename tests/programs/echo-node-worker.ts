// The test worker on Node.
import { nodeWorkerScope } from "../../bindings/platform/node/worker-scope.ts";
import { startEcho } from "./echo.ts";

startEcho(nodeWorkerScope());
