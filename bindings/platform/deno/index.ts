/** Everything pageferry needs of Deno (2.9 or newer), by Deno's own APIs. */
import type { Platform } from "../../ports/platform.ts";
import { openFolder } from "../open-folder.ts";
import { systemClock } from "../system-clock.ts";
import { systemRandom } from "../system-random.ts";
import { connect } from "./connect.ts";
import { denoFolderFiles } from "./folder-files.ts";
import { denoHostFiles } from "./host-files.ts";
import { listen } from "./listen.ts";
import { denoProcesses } from "./processes.ts";
import { denoWorkers } from "./workers.ts";

/**
 * The ports of this process. Cheap: nothing is opened or started.
 *
 * ```ts
 * const platform = denoPlatform();
 * const listener = await platform.listen({ transport: "tcp", host: "localhost", port: 0 });
 * const stream = await platform.connect(listener.address);
 * await stream.close();
 * await listener.close();
 * ```
 */
export function denoPlatform(): Platform {
	return {
		runtime: "deno",
		clock: systemClock,
		random: systemRandom,
		workers: denoWorkers(),
		processes: denoProcesses,
		files: denoHostFiles,
		connect,
		listen,
		openFolderStore: (path) => openFolder(denoFolderFiles, path),
	};
}
