/** The target of `pageferry demo --guest v86` on Deno; see v86-host.ts. */
import { denoPlatform } from "../platform/deno/index.ts";
import { runV86Host } from "./v86-host.ts";

await runV86Host(denoPlatform(), `Deno ${Deno.version.deno}`);
// allowed (exit): the leash has ended, and a guest that runs on must not keep the process alive
Deno.exit();
