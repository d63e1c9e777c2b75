/** Either side of `pageferry demo --guest v86|qemu` on Node; the command starts it with the machine's name; see machine-host.ts. */
import process from "node:process";
import { nodePlatform } from "../platform/node/index.ts";
import { hostConfig, TOKEN_VARIABLE } from "./host-config.ts";
import { runMachineHost } from "./machine-host.ts";
import { machineSide } from "./machine-sides.ts";
import { endThisProcess } from "./node-end.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
process.on("SIGINT", () => undefined);

const { pid, version, argv, env } = process;
try {
	const runtime = `Node ${version.slice(1)}`;
	const config = hostConfig(nodePlatform(), { port: argv[3], token: env[TOKEN_VARIABLE], pid, runtime });
	await runMachineHost(config, await machineSide(argv[2]));
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exitCode = 1;
}
endThisProcess(); // the leash has ended: nothing that is still under way may keep the process alive
