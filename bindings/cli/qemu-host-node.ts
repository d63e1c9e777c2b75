/** Either side of `pageferry demo --guest qemu` on Node; see qemu-host.ts. */
import process from "node:process";
import { nodePlatform } from "../platform/node/index.ts";
import { runQemuHost } from "./qemu-host.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
process.on("SIGINT", () => undefined);
// Nobody reads any more when the command was killed: the leash tells us, and what is left then is cleared away.
process.stdout.on("error", () => undefined);
await runQemuHost(nodePlatform(), `Node ${process.version.slice(1)}`);
// allowed (exit): the leash has ended: nothing that is still under way may keep the process alive
process.exit();
