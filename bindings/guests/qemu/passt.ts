/**
 * The host's own network for one machine at a switch, by passt: real clients reach a guest's ports and the guest reaches the world,
 * without privileges, and faster than by QEMU's user network (user-network.ts). passt translates no addresses; it ends TCP connections at
 * the host and makes them again towards the guest, over the same stream of frames that QEMU's cards speak.
 *
 *   clients ─ TCP ─▶ passt ─ stream of frames ─▶ switch ─▶ guest
 *
 * It knows one machine only: where there are more at the switch, give it `oneMachine(port, …)` of pageferry for a port.
 *
 * Limit: what the guest sends to the world leaves with this user's rights; passt is told not to lead it to the host's loopback.
 */
import type { ByteStream } from "../../ports/byte-stream.ts";
import { LinkError } from "../../ports/link.ts";
import { ProcessError, type RunningProcess } from "../../ports/process.ts";
import { QemuError } from "./errors.ts";
import { makeInstanceFolder } from "./instance-folder.ts";
import { defaultFolder, exited, type QemuServices } from "./qemu-host.ts";
import { type PortForward, runningNetwork, type UserNetwork } from "./user-network.ts";

/** How the network is. */
export interface PasstOptions {
	/** The machine's address, which it has given itself: `10.0.0.15`. */
	readonly guestIp: string;
	/** The host's address for it: the machine's with `.2` at its end if left out. */
	readonly gatewayIp?: string;
	/** Of this host's loopback address, to ports of the machine. */
	readonly forwards?: readonly Omit<PortForward, "guestIp">[];
	/** `passt` if left out. */
	readonly executable?: string;
	/** As for QEMU guests. */
	readonly folder?: string;
}

const START_MS = 10_000;
/** How often is looked whether it listens: it takes a few ms, and has no way to say so. */
const LOOK_MS = 10;
const IP = /^\d{1,3}(\.\d{1,3}){3}$/;

/**
 * Starts it.
 *
 * @param attach - takes the stream of frames: a switch port's `attach`, or `oneMachine(port, …)`
 * @throws {QemuError} `not-installed`, `exited` with its words (a port that is taken), `no-answer`; RangeError naming the argument
 *
 * @example
 * ```ts ignore
 * const forwards = [{ hostPort: 8080, guestPort: 80 }];
 * const uplink = await startPasst(nodePlatform(), network.addPort("uplink").attach, { guestIp: "10.0.0.15", forwards });
 * ```
 */
export async function startPasst(
	services: QemuServices,
	attach: (stream: ByteStream) => void,
	options: PasstOptions,
): Promise<UserNetwork> {
	const { files, random } = services;
	const args = passtArguments(options, files.userId);
	const folder = await makeInstanceFolder(files, random, options.folder ?? defaultFolder(files));
	const path = `${folder}/passt.sock`;
	let process: RunningProcess | undefined;
	try {
		process = await startPasstProcess(services, options.executable ?? "passt", [...args, "-s", path]);
		const stream = await meet(services, process, path);
		attach(stream);
		return runningNetwork(services, folder, process, stream);
	} catch (error) {
		process?.kill("SIGKILL");
		await process?.ended;
		await files.removeTree(folder);
		throw error;
	}
}

async function startPasstProcess(
	{ processes }: QemuServices,
	executable: string,
	args: readonly string[],
): Promise<RunningProcess> {
	try {
		return await processes.start({ executable, args });
	} catch (cause) {
		if (!(cause instanceof ProcessError)) throw cause;
		const advice = "install it (Debian: apt install passt), name the executable, or use QEMU's user network";
		throw new QemuError("not-installed", `${executable} cannot be started: ${advice}`, "", cause);
	}
}

/** Connects as soon as it listens. @throws {QemuError} `exited`, `no-answer` */
async function meet({ clock, connect }: QemuServices, process: RunningProcess, path: string): Promise<ByteStream> {
	const untilMs = clock.now() + START_MS;
	let end: Awaited<RunningProcess["ended"]> | undefined;
	void process.ended.then((ended) => {
		end = ended;
	});
	while (clock.now() < untilMs) {
		if (end !== undefined) throw exited(end, wordsOf(process), "passt");
		try {
			return await connect({ transport: "unix", path });
		} catch (error) {
			if (!(error instanceof LinkError) || error.code !== "refused") throw error;
		}
		await clock.sleep(LOOK_MS);
	}
	throw new QemuError("no-answer", `passt does not listen after ${START_MS} ms`, wordsOf(process));
}

/** What it said, but for its complaints about a system without a log. */
const wordsOf = (process: RunningProcess): string =>
	process
		.errorText()
		.split("\n")
		.filter((line) => !line.endsWith("to syslog") && line !== "")
		.join("\n");

function passtArguments(options: PasstOptions, userId: number | undefined): readonly string[] {
	const { guestIp, gatewayIp = guestIp.replace(/\d+$/, "2"), forwards = [] } = options;
	for (const [name, ip] of Object.entries({ guestIp, gatewayIp }))
		if (!IP.test(ip)) throw new RangeError(`${name}: must be an IPv4 address, got ${ip}`);
	for (const port of forwards.flatMap(({ hostPort, guestPort }) => [hostPort, guestPort]))
		if (!Number.isInteger(port) || port < 1 || port > 65535)
			throw new RangeError(`forwards: ports are from 1 to 65535, got ${port}`);
	return [
		// In the foreground: it ends with us, and its end is heard.
		...["-f", "-e", "-4", "-a", guestIp, "-n", "24", "-g", gatewayIp, "-m", "1500", "--no-map-gw", "-u", "none"],
		...forwards.flatMap(({ hostPort, guestPort }) => ["-t", `127.0.0.1/${hostPort}:${guestPort}`]),
		// As root it would become nobody, who may not enter our folder.
		...(userId === 0 ? ["--runas", "0"] : []),
	];
}
