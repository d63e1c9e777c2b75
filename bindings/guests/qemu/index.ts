/**
 * Virtual machines under QEMU as guests: `pageferry/guests/qemu`, the same on Node and on Deno, which give it their ports.
 * @module
 */
export type { BootOptions } from "../booting.ts";
export { probeAccelerator } from "./accelerator.ts";
export type { QemuNetwork } from "./card.ts";
export { QemuConsole } from "./console.ts";
export { QemuError, type QemuErrorCode } from "./errors.ts";
export { QemuGuestFactory, type QemuGuestFactoryOptions } from "./factory.ts";
export { BallooningQemuGuest, QemuGuest } from "./guest.ts";
export { sweepInstances } from "./instance-folder.ts";
export type { Accelerator, QemuFloppy, QemuKernel, QemuMachine } from "./machine.ts";
export { type PasstOptions, startPasst } from "./passt.ts";
export { type QemuPlace, type QemuServices, qemuVersion } from "./qemu-host.ts";
export type { QemuHarvest, QemuTracker, QemuTracking } from "./ram-tracking.ts";
export { type StartQemuGuestOptions, startQemuGuest } from "./start.ts";
export { type PortForward, startUserNetwork, type UserNetwork, type UserNetworkOptions } from "./user-network.ts";
