// One running QEMU: its process, its folder, its control connection and its console, from start to end.
//
//   starting ─▶ serving ─▶ ended: by {@link QemuInstance.end}, by itself, or because a start failed half-way
//
// Invariant: whatever way it ends, nothing is left: no process, no socket, no RAM file. QEMU connects to us, never we to
// it, so there is nothing to poll for, and a QEMU that cannot start shows as its own exit with its own words.
import type { ByteStream, ByteStreamListener } from "../../ports/byte-stream.ts";
import { PAGE_BYTES } from "../../ports/guest.ts";
import type { HostFiles } from "../../ports/host-files.ts";
import type { RunningProcess } from "../../ports/process.ts";
import { type ReportError, throwLater } from "../listeners.ts";
import { QemuConsole } from "./console.ts";
import { QemuError } from "./errors.ts";
import { makeInstanceFolder } from "./instance-folder.ts";
import { type Accelerator, type InstancePaths, machineArguments, pagesOf, type QemuMachine } from "./machine.ts";
import {
	DEFAULT_EXECUTABLE,
	defaultFolder,
	exited,
	type QemuPlace,
	type QemuServices,
	startQemu,
} from "./qemu-host.ts";
import { QmpClient } from "./qmp.ts";

/** How long QEMU may take to connect to us, in ms: it takes 50 on a quiet machine. */
const START_MS = 30_000;

/** What an instance is started with. */
export interface InstanceOptions extends QemuPlace {
	readonly machine: QemuMachine;
	readonly accelerator: Accelerator;
	readonly incoming: boolean;
	/** Left out, what a listener throws is an error of the process. */
	readonly onListenerError?: ReportError;
}

/** See the head of this file. */
export class QemuInstance {
	readonly qmp: QmpClient;
	readonly console: QemuConsole;
	/** The connection that carries the network card's frames, if there is one. */
	readonly network: ByteStream | undefined;
	readonly ramPath: string;
	/** Where QEMU sends its state to, and reads it from. */
	readonly statePath: string;
	readonly pid: number;
	/** Resolves when QEMU has ended by itself; never after {@link end}. */
	readonly failed: Promise<QemuError>;
	readonly #parts: Parts;
	#ending: Promise<void> | undefined;

	private constructor(parts: Parts, streams: Streams) {
		this.#parts = parts;
		this.qmp = streams.qmp;
		this.console = streams.console;
		this.network = streams.network;
		this.ramPath = parts.paths.ram;
		this.statePath = `${parts.folder}/state.sock`;
		this.pid = parts.process.pid;
		this.failed = parts.process.ended.then((end) => {
			if (this.#ending !== undefined) return new Promise<never>(() => undefined);
			const error = exited(end, parts.process.errorText());
			this.qmp.end(error);
			return error;
		});
	}

	/** @throws {QemuError} `not-installed`, `no-room`, `exited`, `no-answer`; nothing is left of it then */
	static async start(services: QemuServices, options: InstanceOptions): Promise<QemuInstance> {
		const { machine, folder: root = defaultFolder(services.files), executable = DEFAULT_EXECUTABLE } = options;
		const { files, random, listen } = services;
		const folder = await makeInstanceFolder(files, random, root);
		const at = (name: string): string => `${folder}/${name}`;
		const paths = { ram: at("ram"), control: at("qmp.sock"), console: at("con.sock"), network: at("net.sock") };
		const listeners: ByteStreamListener[] = [];
		const open = async (path: string): Promise<ByteStreamListener> => {
			const listener = await listen({ transport: "unix", path });
			listeners.push(listener);
			return listener;
		};
		let process: RunningProcess | undefined;
		try {
			await requireRoom(files, folder, pagesOf(machine) * PAGE_BYTES);
			await files.makeSparse(paths.ram, pagesOf(machine) * PAGE_BYTES);
			const [control, console] = [await open(paths.control), await open(paths.console)];
			const network = machine.mac === undefined ? undefined : await open(paths.network);
			process = await startQemu(services, executable, machineArguments(machine, paths, options));
			const { onListenerError = throwLater } = options;
			const streams = await meet(services, process, { control, console, network }, onListenerError);
			return new QemuInstance({ services, folder, paths, process }, streams);
		} catch (error) {
			process?.kill("SIGKILL");
			await process?.ended;
			await files.removeTree(folder);
			throw error;
		} finally {
			await Promise.all(listeners.map((listener) => listener.close()));
		}
	}

	/** Ends QEMU at once and removes what it used. Safe to call twice. */
	end(reason: Error): Promise<void> {
		this.#ending ??= this.#end(reason);
		return this.#ending;
	}

	async #end(reason: Error): Promise<void> {
		const { process, services, folder } = this.#parts;
		process.kill("SIGKILL");
		this.qmp.end(reason);
		// allowed (print): the machine's console, not ours
		this.console.close();
		this.network?.abort(reason);
		await process.ended;
		await services.files.removeTree(folder);
	}
}

interface Parts {
	readonly services: QemuServices;
	readonly folder: string;
	readonly paths: InstancePaths;
	readonly process: RunningProcess;
}

interface Streams {
	readonly qmp: QmpClient;
	readonly console: QemuConsole;
	readonly network: ByteStream | undefined;
}

interface Doors {
	readonly control: ByteStreamListener;
	readonly console: ByteStreamListener;
	readonly network: ByteStreamListener | undefined;
}

/** Takes QEMU's connections, as long as it lives and answers. */
async function meet(
	services: QemuServices,
	process: RunningProcess,
	doors: Doors,
	report: ReportError,
): Promise<Streams> {
	void drain(process);
	const timer = new AbortController();
	const late = services.clock.sleep(START_MS, timer.signal).then(() => {
		throw new QemuError("no-answer", `QEMU has not connected within ${START_MS} ms`, process.errorText());
	});
	const ended = process.ended.then((end) => {
		throw exited(end, process.errorText());
	});
	const met = (async () => {
		const network = doors.network && (await doors.network.accept());
		// allowed (print): the machine's console, not ours
		const console = await doors.console.accept();
		const control = await doors.control.accept();
		if (console === undefined || control === undefined) throw new QemuError("no-answer", "the start was given up");
		const qmp = await QmpClient.open(control, { clock: services.clock, report });
		// allowed (print): the machine's console, not ours
		return { qmp, console: new QemuConsole(console, report), network };
	})();
	for (const loser of [late, ended, met]) loser.catch(() => undefined); // the race has the first word
	try {
		return await Promise.race([met, late, ended]);
	} catch (error) {
		// The end of a connection comes before the end of its process, which has the words.
		if (error instanceof QemuError && error.code === "exited") await Promise.race([ended, late]);
		throw error;
	} finally {
		timer.abort();
	}
}

/** QEMU says nothing on standard output; if it did, it would wait for a reader one day. */
async function drain(process: RunningProcess): Promise<void> {
	for await (const _ of process.lines);
}

/**
 * A RAM file takes room as it fills, and a QEMU that finds none is killed in the middle of its work: so one is not started where its
 * memory does not fit into what is free now. That says nothing of what machines which run already will still fill.
 */
async function requireRoom(files: HostFiles, folder: string, byteLength: number): Promise<void> {
	const free = await files.freeBytes(folder);
	if (free === undefined || free >= byteLength) return;
	const mib = (bytes: number): number => Math.floor(bytes / 2 ** 20);
	throw new QemuError(
		"no-room",
		`the machine's memory takes ${mib(byteLength)} MiB, and there are ${mib(free)} MiB for ${folder}: enlarge it (mount -o remount,size=2G /dev/shm; docker run --shm-size=2g), or name a folder that has room`,
	);
}
