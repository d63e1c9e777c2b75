/**
 * The host's own network for machines at a switch: a QEMU without a machine that translates addresses (its user network),
 * so that real clients reach a guest's ports and guests reach the world, without privileges.
 *
 *   clients ─ TCP ─▶ QEMU's user network ─ stream of frames ─▶ switch ─▶ guest
 *
 * Client connections end in this process, not in a guest's host: kept in a process of its own together with its switch (a
 * *wire*), they outlive any host that a guest leaves or loses.
 *
 * Limit: about 64 KB in flight per connection; passt (passt.ts) is faster, for one machine.
 */
import type { ByteStream, ByteStreamListener } from "../../ports/byte-stream.ts";
import type { RunningProcess } from "../../ports/process.ts";
import { QemuError } from "./errors.ts";
import { makeInstanceFolder } from "./instance-folder.ts";
import {
	DEFAULT_EXECUTABLE,
	defaultFolder,
	exited,
	type QemuPlace,
	type QemuServices,
	startQemu,
} from "./qemu-host.ts";

/** A port of this machine that leads to one of a guest's. */
export interface PortForward {
	/** On the loopback address. */
	readonly hostPort: number;
	readonly guestIp: string;
	readonly guestPort: number;
}

/** How the network is. */
export interface UserNetworkOptions extends QemuPlace {
	/** `10.0.0.0/24` if left out. The host is at .2 in it, a name server at .3; addresses from .15 on are given by DHCP. */
	readonly network?: string;
	readonly forwards?: readonly PortForward[];
	/** Whether guests reach only this network, not the host and the world: `true` if left out. */
	readonly isolated?: boolean;
}

/** A network that runs. */
export interface UserNetwork {
	readonly pid: number;
	/** Resolves when it has ended by itself. */
	readonly failed: Promise<QemuError>;
	/** Ends it; connections through it break. Safe to call twice. */
	close(): Promise<void>;
}

const START_MS = 30_000;
const CIDR = /^\d+\.\d+\.\d+\.\d+\/\d+$/;
const IP = /^\d+\.\d+\.\d+\.\d+$/;

/**
 * Starts it.
 *
 * @param attach - takes the stream of frames: a switch port's `attach`
 * @throws {QemuError} `not-installed`, `exited` with its words (a port that is taken), `no-answer`; RangeError naming the argument
 *
 * @example
 * ```ts ignore
 * const forwards = [{ hostPort: 8080, guestIp: "10.0.0.1", guestPort: 80 }];
 * const uplink = await startUserNetwork(nodePlatform(), network.addPort("uplink").attach, { forwards });
 * ```
 */
export async function startUserNetwork(
	services: QemuServices,
	attach: (stream: ByteStream) => void,
	options: UserNetworkOptions = {},
): Promise<UserNetwork> {
	const { executable = DEFAULT_EXECUTABLE, folder: root = defaultFolder(services.files) } = options;
	const user = userArguments(options);
	const folder = await makeInstanceFolder(services.files, services.random, root);
	const path = `${folder}/net.sock`;
	const args = [
		...["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"],
		...["-netdev", user, "-netdev", `stream,id=up,server=off,addr.type=unix,addr.path=${path}`],
		...["-netdev", "hubport,id=h0,hubid=0,netdev=user", "-netdev", "hubport,id=h1,hubid=0,netdev=up"],
	];
	const timer = new AbortController();
	let listener: ByteStreamListener | undefined;
	let process: RunningProcess | undefined;
	try {
		listener = await services.listen({ transport: "unix", path });
		const started = await startQemu(services, executable, args);
		process = started;
		const late = services.clock.sleep(START_MS, timer.signal).then(() => undefined);
		const ended = started.ended.then((end) => {
			throw exited(end, started.errorText());
		});
		for (const loser of [late, ended]) loser.catch(() => undefined); // the race has the first word
		const stream = await Promise.race([listener.accept(), late, ended]);
		if (stream === undefined)
			throw new QemuError("no-answer", `QEMU has not connected within ${START_MS} ms`, started.errorText());
		attach(stream);
		return runningNetwork(services, folder, started, stream);
	} catch (error) {
		process?.kill("SIGKILL");
		await process?.ended;
		await services.files.removeTree(folder);
		throw error;
	} finally {
		timer.abort();
		await listener?.close();
	}
}

/** A network whose process and stream are up. */
export function runningNetwork(
	{ files }: QemuServices,
	folder: string,
	process: RunningProcess,
	stream: ByteStream,
): UserNetwork {
	let isClosing = false;
	const failed = process.ended.then((end) =>
		isClosing ? new Promise<never>(() => undefined) : exited(end, process.errorText()),
	);
	return {
		pid: process.pid,
		failed,
		async close() {
			isClosing = true;
			process.kill("SIGKILL");
			stream.abort("the network was closed");
			await process.ended;
			await files.removeTree(folder);
		},
	};
}

function userArguments({ network = "10.0.0.0/24", forwards = [], isolated = true }: UserNetworkOptions): string {
	if (!CIDR.test(network)) throw new RangeError(`network: must be like 10.0.0.0/24, got ${network}`);
	const rules = forwards.map(({ hostPort, guestIp, guestPort }) => {
		if (!IP.test(guestIp)) throw new RangeError(`forwards: guestIp must be an IPv4 address, got ${guestIp}`);
		for (const port of [hostPort, guestPort])
			if (!Number.isInteger(port) || port < 1 || port > 65535)
				throw new RangeError(`forwards: ports are from 1 to 65535, got ${port}`);
		return { str: `tcp:127.0.0.1:${hostPort}-${guestIp}:${guestPort}` };
	});
	// As JSON, because QEMU opens networks that are named so, and streams, in the order of the command line, and those in the
	// older words after them: it would have connected to us before it listened for clients.
	return JSON.stringify({ type: "user", id: "user", net: network, restrict: isolated, hostfwd: rules });
}
