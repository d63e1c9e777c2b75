/**
 * `pageferry wire`: the network of guests in a process that outlives their hosts (network/wire.ts), and words to one that runs.
 *
 *   start ─▶ "… runs in process N" ─▶ until SIGTERM, SIGINT, SIGHUP or `pageferry wire stop`: then nothing of it is left
 */
import { createWriteStream, type WriteStream } from "node:fs";
import process from "node:process";
import { sweepInstances } from "../guests/qemu/instance-folder.ts";
import { startPasst } from "../guests/qemu/passt.ts";
import { startUserNetwork } from "../guests/qemu/user-network.ts";
import { oneMachine } from "../network/one-machine.ts";
import { capture } from "../network/pcap.ts";
import { startWire, type Wire } from "../network/wire.ts";
import { fenceWirePort, stopWire, wireStatus } from "../network/wire-client.ts";
import type { WireStatus } from "../network/wire-orders.ts";
import type { OpenUplink } from "../network/wire-uplink.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import { messageWithCauses } from "./failure.ts";
import type { WireCommand } from "./wire-options.ts";

type Start = Extract<WireCommand, { readonly action: "start" }>;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Of a capture that the disk does not take: beyond it the capture ends, and the network goes on. */
const MAX_WAITING_BYTES: number = 64 * 1024 * 1024;

/** @returns the exit code. @throws {WireError}, {QemuError} */
export async function runWire(command: WireCommand, platform: Platform): Promise<number> {
	const { name, folder } = command;
	const place = { name, ...(folder === undefined ? {} : { folder }) };
	if (command.action === "start") return start(command, place, platform);
	if (command.action === "stop") {
		await stopWire(platform, place);
		process.stdout.write(`wire ${name} has ended\n`);
	} else if (command.action === "fence") {
		await fenceWirePort(platform, place, command.port);
		process.stdout.write(`wire ${name}: port ${command.port} is cut off\n`);
	} else {
		const status = await wireStatus(platform, place);
		process.stdout.write(command.isJson ? `${JSON.stringify(status, undefined, "\t")}\n` : describe(status));
	}
	return 0;
}

async function start(
	command: Start,
	place: { readonly name: string; readonly folder?: string },
	platform: Platform,
): Promise<number> {
	const say = (text: string): void => void process.stderr.write(`pageferry wire ${command.name}: ${text}\n`);
	const stopping = new AbortController();
	const stop = (): void => stopping.abort();
	for (const signal of SIGNALS) process.on(signal, stop);
	try {
		// A wire of this folder that was killed may have left its uplink.
		await sweepInstances(platform.files, place.folder);
		const uplink = uplinkOf(command, place, platform);
		const wire = await startWire(platform, {
			...place,
			...(command.tcpPort === undefined ? {} : { tcpPort: command.tcpPort }),
			...(uplink === undefined ? {} : { uplink }),
			onUplinkDown: (error) => say(`clients cannot come: ${messageWithCauses(error)}; it is tried again`),
			onError: (error) => say(messageWithCauses(error)),
		});
		stopping.signal.addEventListener("abort", () => void wire.stop());
		if (stopping.signal.aborted) await wire.stop();
		await serve(wire, command, platform, say);
		return 0;
	} finally {
		for (const signal of SIGNALS) process.off(signal, stop);
	}
}

/** Until it is ended. */
async function serve(wire: Wire, command: Start, platform: Platform, say: (text: string) => void): Promise<void> {
	try {
		const file = command.pcapFile === undefined ? undefined : await record(wire, command.pcapFile, platform, say);
		process.stderr.write(`${describe(wire.status())}${forwardsOf(command)}`);
		await wire.stopped;
		await file?.();
	} finally {
		await wire.stop();
	}
}

function uplinkOf(command: Start, place: { readonly folder?: string }, platform: Platform): OpenUplink | undefined {
	const { guestIp, forwards } = command;
	const folder = place.folder === undefined ? {} : { folder: place.folder };
	const network = guestIp.replace(/\d+$/, "0/24");
	if (command.uplink === "none") return undefined;
	if (command.uplink === "user")
		return (port) => startUserNetwork(platform, port.attach, { ...folder, network, forwards });
	return (port) => startPasst(platform, oneMachine(port, { ip: guestIp }), { ...folder, guestIp, forwards });
}

/** Writes what passes into a file. @returns what ends that, when everything is in it. @throws the system's error */
async function record(
	wire: Wire,
	path: string,
	{ clock }: Platform,
	say: (text: string) => void,
): Promise<() => Promise<void>> {
	const file = createWriteStream(path, { mode: 0o600 });
	await new Promise((resolve, reject) => file.once("open", resolve).once("error", reject));
	let end: () => void = () => undefined;
	const giveUp = (why: string): void => {
		say(`the capture has ended: ${why}; the network goes on`);
		end();
		file.destroy();
	};
	file.on("error", (error) => giveUp(error.message));
	const write = (bytes: Uint8Array): void => {
		if (file.destroyed) return;
		file.write(bytes);
		if (file.writableLength > MAX_WAITING_BYTES) giveUp("the disk does not take it");
	};
	end = capture(wire.network, write, Date.now() - clock.now());
	return () => {
		end();
		return finished(file);
	};
}

function finished(file: WriteStream): Promise<void> {
	if (file.destroyed) return Promise.resolve();
	return new Promise((resolve) => {
		file.once("close", resolve);
		file.end();
	});
}

function describe({ name, pid, addresses, uplink, ports }: WireStatus): string {
	const clients =
		uplink.state === "up"
			? `clients come through process ${uplink.pid}`
			: uplink.state === "down"
				? `clients cannot come: ${uplink.reason}`
				: "without clients";
	const rows = ports.map((port) => {
		const lost = port.refusedFrames + port.droppedFrames + port.badFrames;
		const held = port.heldFrames === 0 ? "" : `, holds ${port.heldFrames} frames (${port.heldBytes} bytes)`;
		return `  ${port.name}: ${port.machines.join(" ") || "nobody yet"}${held}${lost === 0 ? "" : `, ${lost} frames lost`}\n`;
	});
	const at = addresses.map(addressText).join(" and ");
	return `wire ${name} runs in process ${pid}: hosts connect at ${at}; ${clients}\n${rows.join("")}`;
}

const addressText = (address: StreamAddress): string =>
	address.transport === "unix" ? address.path : `${address.host}:${address.port}`;

const forwardsOf = ({ forwards }: Start): string =>
	forwards
		.map(({ hostPort, guestIp, guestPort }) => `  127.0.0.1:${hostPort} leads to ${guestIp}:${guestPort}\n`)
		.join("");
