/** How a host learns whom it belongs to: `host PORT` as its argument, its token in the environment, where no other user can read it. */
import type { Platform } from "../ports/platform.ts";
import type { HostConfig } from "./host.ts";

/** The environment variable that carries the token. */
export const TOKEN_VARIABLE = "PAGEFERRY_HOST_TOKEN";

/** @throws TypeError when a person starts a host by hand. */
export function hostConfig(
	platform: Platform,
	given: {
		readonly port: string | undefined;
		readonly token: string | undefined;
		readonly pid: number;
		readonly runtime: string;
	},
): HostConfig {
	const { port, token, pid, runtime } = given;
	if (port === undefined || token === undefined)
		throw new TypeError("a host is started by the pageferry command, not by hand");
	return { platform, control: { transport: "tcp", host: "127.0.0.1", port: Number(port) }, token, pid, runtime };
}
