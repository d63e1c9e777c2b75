/** Everything pageferry needs of Node (20 or newer). */
import type { Platform } from "../../ports/platform.ts";
import { openFolder } from "../open-folder.ts";
import { systemClock } from "../system-clock.ts";
import { systemRandom } from "../system-random.ts";
import { connect } from "./connect.ts";
import { nodeFolderFiles } from "./folder-files.ts";
import { nodeHostFiles } from "./host-files.ts";
import { listen } from "./listen.ts";
import { nodeProcesses } from "./processes.ts";
import { nodeWorkers } from "./workers.ts";

/**
 * The ports of this process. Cheap: nothing is opened or started.
 *
 * ```ts
 * const platform = nodePlatform();
 * const listener = await platform.listen({ transport: "tcp", host: "localhost", port: 0 });
 * const stream = await platform.connect(listener.address);
 * await stream.close();
 * await listener.close();
 * ```
 */
export function nodePlatform(): Platform {
	return {
		runtime: "node",
		clock: systemClock,
		random: systemRandom,
		workers: nodeWorkers(),
		processes: nodeProcesses,
		files: nodeHostFiles,
		connect,
		listen,
		openFolderStore: (path) => openFolder(nodeFolderFiles, path),
	};
}
