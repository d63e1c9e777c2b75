// A Linux under QEMU and a Linux in v86 at one switch, each with a console that is read in the same way.
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86SerialPort } from "../../bindings/guests/v86/serial-port.ts";
import type { SwitchPort } from "../../bindings/network/switch.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import type { Platform } from "../../bindings/ports/platform.ts";
import { openLinux, whyNoLinux as whyNoV86Linux } from "../v86/linux.ts";
import { Console } from "../v86/move.ts";
import { addressOf, bootLinux, linuxMachine, whyNoLinux as whyNoQemuLinux } from "./linux.ts";
import { type QemuStage, whyNoQemu } from "./stage.ts";

/** A Linux that runs, of either kind. */
export interface Linux<G extends Guest = Guest> {
	readonly guest: G;
	readonly serial: Pick<V86SerialPort, "listen" | "write">;
	readonly console: Console;
	readonly ip: string;
	readonly mac: string;
}

/** Why there are no two Linuxes here; `undefined` where there are. */
export async function whyNoLinuxes(platform: Platform): Promise<string | undefined> {
	return (await whyNoQemu(platform)) ?? (await whyNoQemuLinux(platform.files)) ?? (await whyNoV86Linux());
}

/** The machine under QEMU, in the network that the Linux in v86 was saved with. */
export const besideV86 = linuxMachine(9, {
	boot: { ...linuxMachine(9).boot, append: "console=ttyS0 quiet panic=-1 no_timer_check pageferry.ip=10.5.0.9" },
});

/** Boots the one under QEMU. */
export async function qemuLinux(stage: QemuStage, port: SwitchPort): Promise<Linux<QemuGuest>> {
	const guest = await bootLinux(stage, besideV86, port);
	const serial: Linux<QemuGuest>["serial"] = {
		listen: (listener) => guest.console.onText(listener),
		write: (text) => void guest.console.write(text),
	};
	const console = new Console();
	console.follow({ serial });
	return { guest, serial, console, ip: "10.5.0.9", mac: addressOf(9) };
}

/** Wakes the one in v86. */
export async function v86Linux(stage: QemuStage, port: SwitchPort): Promise<Linux<V86Guest>> {
	const { guest, console } = await openLinux({ network: port });
	stage.keep<Guest>(guest);
	await guest.resume();
	return { guest, serial: guest.serial, console, ip: "10.5.0.2", mac: guest.network.macAddress };
}
