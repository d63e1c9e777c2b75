/**
 * A wire: a process that holds the network of guests which run in other processes. Guests' hosts connect to it, and their
 * guests' frames meet at its switch; the way to real clients (QEMU's user network, passt) ends in it. So a client's TCP
 * connection lasts when a guest moves to another host, and when the host that it left is killed.
 *
 *   host 1 ── frames ──▶ port ─▶ gate ─▶ ┐
 *   host 2 ── frames ──▶ port ─▶ gate ─▶ switch ─▶ port ─▶ uplink ◀── TCP ── clients
 *
 * A host that dies frees its port, and what its gate held is dropped: output that nobody acknowledged never was. A guest is
 * found at the port where it was seen last; it announces itself after a move.
 *
 * Invariants: one wire of a name in a folder; whatever way it ends, the next one of its name takes its place, and what the last
 * has left is removed then.
 *
 * Source: spec section 4 (Remus: clients are connected to the network, not to the primary).
 */
import type { ByteStream, ByteStreamListener, StreamAddress } from "../ports/byte-stream.ts";
import type { Clock } from "../ports/clock.ts";
import type { HostFiles } from "../ports/host-files.ts";
import { LinkError } from "../ports/link.ts";
import type { Platform } from "../ports/platform.ts";
import { type SwitchPort, VirtualSwitch } from "./switch.ts";
import { WireDoor, type WireHall } from "./wire-door.ts";
import { WireError } from "./wire-error.ts";
import { checkName, type WireAnswer, type WireOrder, type WireStatus } from "./wire-orders.ts";
import { claimWire, defaultWireFolder, sweepWires, wirePath } from "./wire-place.ts";
import { type OpenUplink, UplinkKeeper } from "./wire-uplink.ts";

/** Ports of one wire: each costs a file descriptor, and 64 MiB when its gate is full. */
const MAX_PORTS = 256;
/** Connections that have not yet said what they want. */
const MAX_STRANGERS = 64;
/** How long they may take, in ms. */
const STRANGER_MS = 10_000;
/** Ports that were cut off for good and are remembered. */
const MAX_FENCED = 10_000;
const MAX_LISTED_MACHINES = 8;

/** Ports that a wire works with; a platform has them all. */
export type WireServices = Pick<Platform, "clock" | "files" | "listen" | "connect">;

/** How a wire is. */
export interface WireOptions {
	/** Up to 40 letters, digits, dots, dashes and underscores. */
	readonly name: string;
	/** Where its socket is: `/dev/shm/pageferry-` with the user's number if left out. */
	readonly folder?: string;
	/** A port of the loopback address at which it listens too (0: any). Every user of this machine can connect there. */
	readonly tcpPort?: number;
	/**
	 * The way to real clients, started at a port `uplink` of the switch and again whenever it ends by itself:
	 * `(port) => startUserNetwork(platform, port.attach, { forwards })`.
	 */
	readonly uplink?: OpenUplink;
	/** What a port's gate holds at most, in bytes: 64 MiB if left out. */
	readonly heldBytesLimit?: number;
	/** Hears when the uplink has ended by itself, or could not be started again. */
	readonly onUplinkDown?: (error: Error) => void;
	/** Hears what a tap has thrown; see `VirtualSwitchOptions`. */
	readonly onError?: (error: unknown) => void;
}

/** A wire that runs, in this process. */
export interface Wire {
	readonly name: string;
	/** Where hosts connect: its socket, and the TCP port if there is one. */
	readonly addresses: readonly StreamAddress[];
	/** For taps, captures and guests of this process. */
	readonly network: VirtualSwitch;
	status(): WireStatus;
	/** Ends it: hosts are disconnected, the uplink is ended, the name is free. Safe to call twice. */
	stop(): Promise<void>;
	/** Resolves when it has ended: by {@link stop}, or because somebody asked for it (`stopWire`). */
	readonly stopped: Promise<void>;
}

/**
 * Starts a wire in this process: one that does nothing else, so that it outlives the hosts. `pageferry wire` is such a process.
 *
 * @throws {WireError} `name-taken`; what the uplink throws, which says what to install or which port is taken; RangeError naming
 *   the argument. Nothing is left then.
 *
 * @example
 * ```ts ignore
 * const forwards = [{ hostPort: 8080, guestIp: "10.0.0.15", guestPort: 80 }];
 * const wire = await startWire(nodePlatform(), {
 * 	name: "lab",
 * 	uplink: (port) => startUserNetwork(nodePlatform(), port.attach, { forwards }),
 * });
 * await wire.stopped;
 * ```
 */
export async function startWire(services: WireServices, options: WireOptions): Promise<Wire> {
	const { name, folder = defaultWireFolder(services.files), tcpPort } = options;
	checkName("name", name);
	if (tcpPort !== undefined && !(Number.isInteger(tcpPort) && tcpPort >= 0 && tcpPort <= 65_535))
		throw new RangeError(`tcpPort: must be a whole number from 0 to 65535, got ${tcpPort}`);
	await services.files.makePrivateFolder(folder);
	await sweepWires(services, folder, name);
	const listeners = [await claimWire(services, wirePath(folder, name), name)];
	const wire = new RunningWire(services, options, listeners);
	try {
		if (tcpPort !== undefined)
			listeners.push(await services.listen({ transport: "tcp", host: "127.0.0.1", port: tcpPort }));
		await wire.start();
		return wire;
	} catch (error) {
		await wire.stop();
		throw error;
	}
}

class RunningWire implements Wire, WireHall {
	readonly name: string;
	readonly pid: number;
	readonly network: VirtualSwitch;
	readonly stopped: Promise<void>;
	readonly #clock: Clock;
	readonly #heldBytesLimit: number | undefined;
	readonly #listeners: readonly ByteStreamListener[];
	readonly #uplink: UplinkKeeper | undefined;
	/** Connections, each with its end. */
	readonly #doors: Map<WireDoor, Promise<void>> = new Map();
	readonly #ports: Map<SwitchPort, WireDoor> = new Map();
	readonly #fenced: Set<string> = new Set();
	readonly #end: AbortController = new AbortController();
	readonly #emptied: Promise<void>;
	#empty: () => void = () => undefined;
	#ended: () => void = () => undefined;
	#stopping: Promise<void> | undefined;

	constructor(
		{ clock, files }: { readonly clock: Clock; readonly files: HostFiles },
		{ name, uplink, onUplinkDown, onError, heldBytesLimit }: WireOptions,
		listeners: readonly ByteStreamListener[],
	) {
		this.name = name;
		this.pid = files.pid;
		this.network = new VirtualSwitch(clock, onError === undefined ? {} : { onError });
		this.stopped = new Promise((resolve) => {
			this.#ended = resolve;
		});
		this.#emptied = new Promise((resolve) => {
			this.#empty = resolve;
		});
		this.#clock = clock;
		this.#heldBytesLimit = heldBytesLimit;
		this.#listeners = listeners;
		const onDown = (error: Error): void => onUplinkDown?.(error);
		if (uplink !== undefined)
			this.#uplink = new UplinkKeeper(this.network.addPort("uplink"), clock, { open: uplink, onDown });
	}

	async start(): Promise<void> {
		for (const listener of this.#listeners) void this.#welcome(listener);
		await this.#uplink?.start();
	}

	get addresses(): readonly StreamAddress[] {
		return this.#listeners.map(({ address }) => address);
	}

	status(): WireStatus {
		const { name, pid, addresses } = this;
		const ports = [...this.#ports].map(([port, door]) => ({
			name: port.name,
			machines: this.network.machinesAt(port).slice(0, MAX_LISTED_MACHINES),
			...{ heldFrames: port.gate.heldFrames, heldBytes: port.gate.heldBytes },
			...{ refusedFrames: port.gate.refusedFrames, droppedFrames: door.lostFrames, badFrames: port.badFrames },
		}));
		return { name, pid, addresses, uplink: this.#uplink?.status ?? { state: "none" }, ports };
	}

	stop(): Promise<void> {
		this.#stopping ??= this.#stop();
		return this.#stopping;
	}

	join(name: string, door: WireDoor): SwitchPort {
		if (this.#fenced.has(name)) throw new WireError("fenced", `port ${name} was cut off: its guest runs elsewhere`);
		if ([...this.#ports.keys()].some((port) => port.name === name))
			throw new WireError("port-taken", `a host is at port ${name} already: give each host a port name of its own`);
		if (this.#ports.size >= MAX_PORTS) throw new WireError("full", `the wire has ${MAX_PORTS} ports already`);
		const port = this.network.addPort(name, this.#heldBytesLimit);
		this.#ports.set(port, door);
		return port;
	}

	left(port: SwitchPort): void {
		this.#ports.delete(port);
	}

	async answer(question: WireOrder): Promise<WireAnswer> {
		if (question.order === "status") return { answer: "status", status: this.status() };
		if (question.order === "stop") {
			void this.stop();
			await this.#emptied;
		} else if (question.order === "fence") this.#fence(question.port);
		else throw new WireError("protocol", `'${question.order}' before a port was named`);
		return { answer: "done" };
	}

	#fence(name: string): void {
		this.#fenced.add(name);
		const [oldest] = this.#fenced;
		if (this.#fenced.size > MAX_FENCED && oldest !== undefined) this.#fenced.delete(oldest);
		for (const [port, door] of this.#ports)
			if (port.name === name) {
				// At once: nothing that is still in its stream may leave.
				port.close();
				door.drop("its port was cut off");
			}
	}

	async #welcome(listener: ByteStreamListener): Promise<void> {
		while (!this.#end.signal.aborted) {
			let stream: ByteStream | undefined;
			try {
				stream = await listener.accept();
			} catch (error) {
				// No file descriptor left, say: that connection is lost, and others will come.
				if (error instanceof LinkError) continue;
				throw error;
			}
			if (stream === undefined) return;
			const strangers = [...this.#doors.keys()].filter(({ isKnown }) => !isKnown).length;
			if (strangers >= MAX_STRANGERS) stream.abort("too many strangers");
			else this.#admit(stream);
		}
	}

	#admit(stream: ByteStream): void {
		const door = new WireDoor(this, stream);
		const timer = new AbortController();
		this.#clock.sleep(STRANGER_MS, timer.signal).then(
			() => {
				if (!door.isKnown) door.drop("it has not said what it wants");
			},
			() => undefined, // it has gone
		);
		const serving = door.serve().then(() => {
			timer.abort();
			this.#doors.delete(door);
		});
		this.#doors.set(door, serving);
	}

	async #stop(): Promise<void> {
		this.#end.abort();
		await Promise.all(this.#listeners.map((listener) => listener.close()));
		await this.#uplink?.close();
		const joined = [...this.#doors].filter(([door]) => !door.isAsking);
		for (const [door] of joined) door.drop("the wire has ended");
		await Promise.all(joined.map(([, serving]) => serving));
		// Now who asked for it may hear it: nothing is left but the answer.
		this.#empty();
		await Promise.all(this.#doors.values());
		this.#ended();
	}
}
