/** Either side of `pageferry demo --guest v86|qemu` on Deno; the command starts it with the machine's name; see machine-host.ts. */
import { denoPlatform } from "../platform/deno/index.ts";
import { hostConfig, TOKEN_VARIABLE } from "./host-config.ts";
import { runMachineHost } from "./machine-host.ts";
import { machineSide } from "./machine-sides.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
Deno.addSignalListener("SIGINT", () => undefined);

const { pid, version, args, env } = Deno;
try {
	const runtime = `Deno ${version.deno}`;
	const config = hostConfig(denoPlatform(), { port: args[1], token: env.get(TOKEN_VARIABLE), pid, runtime });
	await runMachineHost(config, await machineSide(args[0]));
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	Deno.exitCode = 1;
}
// allowed (exit): the leash has ended: nothing that is still under way may keep the process alive
Deno.exit();
