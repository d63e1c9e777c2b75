// How a machine under QEMU is started: one that boots, or one that waits for its state (the factory's).
import { GuestError } from "../../ports/guest.ts";
import { BOOT_MS, type BootOptions, LAST_LINES, untilBooted } from "../booting.ts";
import { throwLater } from "../listeners.ts";
import { checkAccelerator } from "./accelerator.ts";
import { checkLimit } from "./answer-limit.ts";
import { NetworkCard, type QemuNetwork } from "./card.ts";
import { prepareStateTransfer } from "./device-state.ts";
import { QemuError } from "./errors.ts";
import { BallooningQemuGuest, QemuGuest } from "./guest.ts";
import { QemuInstance } from "./instance.ts";
import { type Accelerator, checkMachine, machineFacts, pagesOf, type QemuMachine } from "./machine.ts";
import { DEFAULT_EXECUTABLE, type QemuPlace, type QemuServices, qemuVersion } from "./qemu-host.ts";
import { QemuRam } from "./ram.ts";
import type { QemuTracker } from "./ram-tracking.ts";
import { whyNoSoftDirty } from "./soft-dirty.ts";

/** How a machine is started. */
export interface StartQemuGuestOptions extends QemuPlace, BootOptions {
	readonly machine: QemuMachine;
	/** `tcg` if left out. */
	readonly accelerator?: Accelerator;
	/**
	 * How changed pages are found: by comparing them, or by the system's marks where a probe at the start finds that it has
	 * them (docs/qemu.md). `auto` if left out: marks where they can be trusted; {@link QemuGuest.tracking} says which it is.
	 */
	readonly tracker?: "auto" | QemuTracker;
	/** Takes the connection that carries the network card's frames: `switchPort.attach`. Needed with a `mac`, unless a factory has `networks`. */
	readonly network?: QemuNetwork;
	/**
	 * Gets what a listener of the console or of QEMU's events throws; the guest runs on, and the others hear it too. Left out,
	 * such an error is an uncaught one of the process, as that of an event target's listener is.
	 */
	readonly onListenerError?: (error: unknown) => void;
}

/**
 * Boots a machine.
 *
 * @throws {QemuError} `not-installed`, `exited`, `no-answer`, `no-file`, `no-room`, `no-accelerator`, `no-soft-dirty`, `network-taken`,
 *   `not-booted`; nothing is left then. RangeError for a machine or a limit that makes no sense.
 *
 * A machine with a balloon is a {@link BallooningQemuGuest}.
 *
 * @example
 * ```ts ignore
 * const machine = { memoryMiB: 128, boot: { kernel: "vmlinuz", initrd: "initrd.gz", append: "console=ttyS0" } };
 * const guest = await startQemuGuest(nodePlatform(), { machine, booted: (line) => line.startsWith("ready") });
 * ```
 */
export async function startQemuGuest(services: QemuServices, options: StartQemuGuestOptions): Promise<QemuGuest> {
	const { machine, accelerator = "tcg", executable = DEFAULT_EXECUTABLE, booted } = options;
	checkMachine(machine);
	if ((machine.mac === undefined) !== (options.network === undefined))
		throw new TypeError(
			"network: a machine with a network card (mac) needs somebody who takes its frames, one without none",
		);
	if (options.bootMs !== undefined) checkLimit("bootMs", options.bootMs);
	const version = await qemuVersion(services, executable);
	await checkAccelerator(services, accelerator, options);
	const facts = await machineFacts(machine, { files: services.files, version, accelerator });
	const guest = await openGuest(services, { ...options, accelerator, incoming: false }, facts);
	if (booted === undefined) return guest;
	try {
		await waitUntilBooted(services, guest, booted, options.bootMs ?? BOOT_MS);
		return guest;
	} catch (error) {
		await guest.discard();
		throw error;
	}
}

/** What {@link openGuest} takes. */
export interface OpenGuestOptions extends Omit<StartQemuGuestOptions, "accelerator"> {
	readonly accelerator: Accelerator;
	readonly incoming: boolean;
	/** See the factory's. */
	readonly networks?: () => QemuNetwork;
}

/** For the factory: a machine that boots, or one that waits for its state. */
export async function openGuest(
	services: QemuServices,
	options: OpenGuestOptions,
	facts: Readonly<Record<string, string>>,
): Promise<QemuGuest> {
	const instance = await QemuInstance.start(services, options);
	let ram: QemuRam | undefined;
	try {
		await prepareStateTransfer(instance);
		let onEnd: (error: GuestError) => void = () => undefined;
		const file = { path: instance.ramPath, pageCount: pagesOf(options.machine) };
		let isPaused = (): boolean => false;
		const process = { files: services.files, pid: instance.pid, isPaused: () => isPaused() };
		ram = await QemuRam.open(services.workers, file, process, (error) => onEnd(error));
		await chooseTracker(services.files, options, ram, instance.pid);
		const card = cardOf(instance, options);
		const Kind = options.machine.balloon === true ? BallooningQemuGuest : QemuGuest;
		const guest = new Kind({ services, instance, ram, card, facts }, options.incoming ? "waiting" : "running");
		isPaused = () => guest.isPaused;
		onEnd = (error) => guest.crash(error);
		if (!options.incoming) {
			card?.claim(() => guest.isRunning);
			card?.unclaim();
			card?.connect();
		}
		return guest;
	} catch (error) {
		const reason = new GuestError("gone", "the start failed");
		await Promise.all([instance.end(reason), ram?.close(reason)]);
		throw error;
	}
}

function cardOf({ network: stream }: QemuInstance, options: OpenGuestOptions): NetworkCard | undefined {
	const { network, networks = network && (() => network) } = options;
	return stream && networks && new NetworkCard(stream, networks, options.onListenerError ?? throwLater);
}

/** @throws {QemuError} `no-soft-dirty` where the marks were asked for */
async function chooseTracker(
	files: QemuServices["files"],
	{ tracker = "auto", machine }: Pick<StartQemuGuestOptions, "tracker" | "machine">,
	ram: QemuRam,
	pid: number,
): Promise<void> {
	if (tracker === "scan") return;
	const process = { pid, pageCount: ram.pageCount, markedPages: () => ram.markedPages() };
	const why = await whyNoSoftDirty(files, machine, process);
	ram.tracking.decide(why);
	if (tracker === "soft-dirty" && why !== undefined)
		throw new QemuError("no-soft-dirty", `soft-dirty marks cannot be used: ${why}; use "auto" or "scan"`);
}

/** @throws {QemuError} `not-booted`; what `booted` throws */
async function waitUntilBooted(
	{ clock }: QemuServices,
	{ console: words, ended }: QemuGuest,
	booted: (line: string) => boolean,
	bootMs: number,
): Promise<void> {
	const failure = await untilBooted({
		...{ clock, booted, bootMs, failed: ended },
		follow: (look) => {
			const stop = words.onLine(look);
			words.recent.forEach(look);
			return stop;
		},
		said: () => words.recent.slice(-LAST_LINES),
	});
	if (failure !== undefined) throw new QemuError("not-booted", failure.message, failure.words, failure.cause);
}
