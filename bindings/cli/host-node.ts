/** A host on Node. The command starts it; see host.ts. */
import process from "node:process";
import { nodePlatform } from "../platform/node/index.ts";
import { runHost } from "./host.ts";
import { hostConfig, TOKEN_VARIABLE } from "./host-config.ts";
import { endThisProcess } from "./node-end.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
process.on("SIGINT", () => undefined);

const { pid, version, argv, env } = process;
try {
	const runtime = `Node ${version.slice(1)}`;
	await runHost(hostConfig(nodePlatform(), { port: argv[2], token: env[TOKEN_VARIABLE], pid, runtime }));
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exitCode = 1;
}
endThisProcess(); // the leash has ended: nothing that is still under way may keep the process alive
