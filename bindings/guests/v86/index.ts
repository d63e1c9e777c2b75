/**
 * `pageferry/guests/v86`: a PC in v86 as a guest of every technique, on Node and Deno. v86 itself is the user's to install: an
 * optional peer dependency, of one exact version.
 *
 * @module
 */
export type { BootOptions } from "../booting.ts";
export type { V86Tracker } from "./dirty-log.ts";
export { V86_VERSION, type V86Build } from "./emulator.ts";
export { V86Error, type V86ErrorCode } from "./errors.ts";
export { V86GuestFactory, type V86GuestFactoryOptions } from "./factory.ts";
export type { V86Firmware, V86Linux } from "./firmware.ts";
export { BallooningV86Guest, type StartV86GuestOptions, V86Guest, type V86GuestOptions } from "./guest.ts";
export type { TimeMode } from "./guest-time.ts";
export type { V86HardwareOptions } from "./hardware.ts";
export type { V86NetworkCard, V86NetworkPort } from "./network-card.ts";
export { loadV86 } from "./package.ts";
export type { V86SerialPort } from "./serial-port.ts";
export { V86WorkerGuestFactory, type V86WorkerGuestFactoryOptions } from "./worker-factory.ts";
export {
	BallooningV86WorkerGuest,
	type StartV86WorkerGuestOptions,
	V86WorkerGuest,
	type V86WorkerGuestOptions,
} from "./worker-guest.ts";
export type { V86Progress } from "./worker-protocol.ts";
