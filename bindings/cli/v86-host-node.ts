/** The target of `pageferry demo --guest v86` on Node; see v86-host.ts. */
import process from "node:process";
import { nodePlatform } from "../platform/node/index.ts";
import { runV86Host } from "./v86-host.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
process.on("SIGINT", () => undefined);
await runV86Host(nodePlatform(), `Node ${process.version.slice(1)}`);
// allowed (exit): the leash has ended, and a guest that runs on must not keep the process alive
process.exit();
