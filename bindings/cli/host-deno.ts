/** A host on Deno, by Deno's own APIs. The command starts it; see host.ts. */
import { denoPlatform } from "../platform/deno/index.ts";
import { runHost } from "./host.ts";
import { hostConfig, TOKEN_VARIABLE } from "./host-config.ts";

// Ctrl-C reaches every process of the terminal: the command decides what it means, and the leash tells us.
Deno.addSignalListener("SIGINT", () => undefined);

const { pid, version, args, env } = Deno;
try {
	const runtime = `Deno ${version.deno}`;
	await runHost(hostConfig(denoPlatform(), { port: args[0], token: env.get(TOKEN_VARIABLE), pid, runtime }));
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	Deno.exitCode = 1;
}
// allowed (exit): the leash has ended and nobody reads any output; a move under way must not keep the process alive
Deno.exit();
