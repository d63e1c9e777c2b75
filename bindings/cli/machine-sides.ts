/** Which machines there are; each is loaded only when it is wanted, with what it needs. */
import type { OpenMachineSide } from "./machine-side.ts";

/** @throws TypeError for a machine that does not exist */
export async function machineSide(name: string | undefined): Promise<OpenMachineSide> {
	if (name === "v86") return (await import("./v86-side.ts")).openV86Side;
	if (name === "qemu") return (await import("./qemu-side.ts")).openQemuSide;
	throw new TypeError(`machine: '${name}' is neither v86 nor qemu`);
}
