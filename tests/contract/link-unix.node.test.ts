import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../bindings/platform/node/connect.ts";
import { listen } from "../../bindings/platform/node/listen.ts";
import { linkContractOverSockets } from "./suites/link-over-sockets.ts";

linkContractOverSockets("stream link over a unix-domain socket on Node", { connect, listen }, async () => {
	const folder = await mkdtemp(join(tmpdir(), "pageferry-link-"));
	return {
		address: { transport: "unix", path: join(folder, "link") },
		release: async () => rm(folder, { recursive: true }),
	};
});
