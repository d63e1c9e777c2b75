// The state of processors and devices: what QEMU's migration sends when it leaves shared RAM out (x-ignore-shared).
//
//   save:  listen ─▶ migrate ─▶ read to the end ─▶ `completed`      the machine is paused before and after
//   load:  migrate-incoming ─▶ connect, before the pause of a move; write ─▶ `completed`      the machine is paused after
//
// QEMU saves once per pause: after a save that succeeded the machine has to run before the next.
//
// Nothing here has a limit, because what QEMU was told it does, whoever has given up waiting: who waits has one (run-state.ts).
import type { ByteStream } from "../../ports/byte-stream.ts";
import { QemuError } from "./errors.ts";
import type { QemuInstance } from "./instance.ts";
import { textMember } from "./json.ts";
import { MAX_QEMU_STATE_BYTES } from "./limits.ts";
import type { QemuServices } from "./qemu-host.ts";
import type { QmpEvent } from "./qmp.ts";

/** A `pc` has about 320 KB. */
const FIRST_ROOM_BYTES = 512 * 1024;

const isEnd = ({ name, data }: QmpEvent): boolean =>
	name === "MIGRATION" && ["completed", "failed", "cancelled"].includes(textMember(data, "status") ?? "");

/** To be done once, on either side, before anything is saved or loaded. @throws {QemuError} `command`, `exited`, `no-answer` */
export async function prepareStateTransfer({ qmp }: QemuInstance): Promise<void> {
	const on = (capability: string) => ({ capability, state: true });
	await qmp.execute("migrate-set-capabilities", { capabilities: [on("x-ignore-shared"), on("events")] });
}

/** The paused machine's state. @throws {QemuError} `command` with QEMU's reason, `exited` */
export async function saveDeviceState(
	{ listen }: QemuServices,
	instance: QemuInstance,
): Promise<Uint8Array<ArrayBuffer>> {
	const { qmp, statePath } = instance;
	const listener = await listen({ transport: "unix", path: statePath });
	try {
		const end = qmp.waitFor(isEnd);
		end.catch(() => undefined); // awaited below, unless the command itself is refused
		const arriving = listener.accept();
		arriving.catch(() => undefined); // likewise
		await qmp.send("migrate", { uri: `unix:${statePath}` });
		// A QEMU that does not come says `failed` instead.
		const first = await Promise.race([arriving, end.then(() => undefined)]);
		const bytes = first === undefined ? undefined : await readAll(first);
		await expectCompleted(await end, instance, "save");
		if (bytes === undefined) throw new QemuError("command", "QEMU saved its state without sending it");
		return bytes;
	} finally {
		await listener.close();
	}
}

/** The way into a QEMU that waits for its state. */
export interface StateInlet {
	/** Puts the state in; once. @throws {QemuError} `command`, `exited`: the QEMU is of no use then */
	load(bytes: Uint8Array): Promise<void>;
	/** For a QEMU that has been ended. */
	drop(): void;
}

/**
 * Opens the way into a QEMU that was started to wait for its state. It can be open for any time before the state comes: QEMU
 * does nothing before it has read the first bytes, and asking and connecting take as long as most of the load.
 * @throws {QemuError} `command`, `exited`: it is of no use then
 */
export async function openStateInlet({ connect }: QemuServices, instance: QemuInstance): Promise<StateInlet> {
	const { qmp, statePath } = instance;
	const end = qmp.waitFor(isEnd);
	end.catch(() => undefined); // awaited below, if it ever comes to that
	await qmp.send("migrate-incoming", { uri: `unix:${statePath}` });
	const stream = await connect({ transport: "unix", path: statePath });
	let isUsed = false;
	return {
		async load(bytes) {
			if (isUsed) throw new QemuError("command", "this QEMU has been given a state before, whatever has become of it");
			isUsed = true;
			// To its end: of a state that was cut short QEMU would wait for the rest.
			const sent = stream.write([bytes]).then(() => stream.close());
			sent.catch(() => undefined); // a state that QEMU does not like: it says `failed`, or ends
			try {
				await expectCompleted(await end, instance, "load");
			} finally {
				stream.abort("the state is loaded, or never will be");
			}
		},
		drop: () => stream.abort("this QEMU has been ended"),
	};
}

async function expectCompleted({ data }: QmpEvent, { qmp }: QemuInstance, what: "save" | "load"): Promise<void> {
	const status = textMember(data, "status");
	if (status === "completed") return;
	const reason = textMember(await qmp.send("query-migrate"), "error-desc") ?? "it gives no reason";
	throw new QemuError("command", `QEMU could not ${what} the machine's state (${status}): ${reason}`);
}

async function readAll(stream: ByteStream): Promise<Uint8Array<ArrayBuffer>> {
	let room = new Uint8Array(FIRST_ROOM_BYTES);
	let filled = 0;
	for (;;) {
		const count = await stream.readInto(room.subarray(filled));
		if (count === 0) break;
		filled += count;
		if (filled > MAX_QEMU_STATE_BYTES)
			throw new QemuError("command", `the machine's state has more than ${MAX_QEMU_STATE_BYTES} bytes`);
		if (filled === room.byteLength) {
			const larger = new Uint8Array(room.byteLength * 2);
			larger.set(room);
			room = larger;
		}
	}
	stream.abort("read to its end");
	return room.slice(0, filled);
}
