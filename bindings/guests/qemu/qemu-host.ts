// What a QEMU guest needs of the machine that it runs on: ports, where QEMU is, and which one it is.
import type { HostFiles } from "../../ports/host-files.ts";
import type { Platform } from "../../ports/platform.ts";
import { type ProcessEnd, ProcessError, type RunningProcess } from "../../ports/process.ts";
import { ANSWER_MS, inTime } from "./answer-limit.ts";
import { QemuError } from "./errors.ts";

/** Ports that a QEMU guest works with; a platform has them all. */
export type QemuServices = Pick<
	Platform,
	"clock" | "random" | "workers" | "processes" | "files" | "listen" | "connect"
>;

/** Where QEMU is, and where its memory lies. */
export interface QemuPlace {
	/** `qemu-system-x86_64` if left out. */
	readonly executable?: string;
	/**
	 * A folder in shared memory for RAM files and sockets, made if it does not exist, for this user alone:
	 * `/dev/shm/pageferry-UID` if left out. What owners that were killed have left there is removed by the next start.
	 */
	readonly folder?: string;
}

export const DEFAULT_EXECUTABLE = "qemu-system-x86_64";

/** @returns where instances lie unless a folder is named: each user of a machine has one, because nobody else may enter it */
export function defaultFolder({ userId }: HostFiles): string {
	return `/dev/shm/pageferry-${userId ?? "user"}`;
}

/**
 * Asks QEMU for its version.
 * @returns as `7.2`: devices keep their state's format within it
 * @throws {QemuError} `not-installed`, `exited`, `no-answer`
 */
export async function qemuVersion(services: QemuServices, executable: string): Promise<string> {
	const process = await startQemu(services, executable, ["--version"]);
	const lines: string[] = [];
	const asked = (async () => {
		for await (const line of process.lines) lines.push(line);
		return process.ended;
	})();
	if (!(await inTime(services.clock, ANSWER_MS, asked))) {
		process.kill("SIGKILL");
		throw new QemuError("no-answer", `${executable} has not told its version within ${ANSWER_MS} ms`);
	}
	const end = await asked;
	const version = /version (\d+\.\d+)/.exec(lines.join("\n"))?.[1];
	if (version === undefined) throw exited(end, process.errorText());
	return version;
}

/** Starts the executable. @throws {QemuError} `not-installed` */
export async function startQemu(
	services: QemuServices,
	executable: string,
	args: readonly string[],
): Promise<RunningProcess> {
	try {
		return await services.processes.start({ executable, args });
	} catch (cause) {
		if (!(cause instanceof ProcessError)) throw cause;
		const advice = "install it (Debian: apt install qemu-system-x86) or name the executable";
		throw new QemuError("not-installed", `${executable} cannot be started: ${advice}`, "", cause);
	}
}

/** @returns the error for a QEMU that has ended by itself */
export function exited(end: ProcessEnd, errorText: string, who = "QEMU"): QemuError {
	const how = end.signal === undefined ? `with code ${end.code}` : `by ${end.signal}`;
	const said = errorText.trim();
	return new QemuError("exited", `${who} ended ${how}${said === "" ? "" : `: ${lastLines(said)}`}`, errorText);
}

/** What stands in a message; all of it is in the error. */
const lastLines = (text: string): string => text.split("\n").slice(-3).join(" / ");
