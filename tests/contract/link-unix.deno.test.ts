import { join } from "node:path";
import { connect } from "../../bindings/platform/deno/connect.ts";
import { listen } from "../../bindings/platform/deno/listen.ts";
import { linkContractOverSockets } from "./suites/link-over-sockets.ts";

linkContractOverSockets("stream link over a unix-domain socket on Deno", { connect, listen }, async () => {
	const folder = await Deno.makeTempDir({ prefix: "pageferry-link-" });
	return {
		address: { transport: "unix", path: join(folder, "link") },
		release: async () => Deno.remove(folder, { recursive: true }),
	};
});
