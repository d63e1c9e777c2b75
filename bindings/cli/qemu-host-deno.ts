/** Either side of `pageferry demo --guest qemu` on Deno; see qemu-host.ts. */
import { denoPlatform } from "../platform/deno/index.ts";
import { runQemuHost } from "./qemu-host.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
Deno.addSignalListener("SIGINT", () => undefined);
await runQemuHost(denoPlatform(), `Deno ${Deno.version.deno}`);
// allowed (exit): the leash has ended: nothing that is still under way may keep the process alive
Deno.exit();
