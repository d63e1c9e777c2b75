// What a v86 machine is: part of its layout, so that a target is built alike.
import type { TimeMode } from "./guest-time.ts";

/** What a machine is; part of the layout, so that a target is built alike. */
export interface V86Hardware {
	/** RAM: a multiple of 128 KiB, at least 1 MiB. */
	readonly memoryByteLength: number;
	/** Memory of the graphics card: a power of two from 256 KiB to 2 MiB. */
	readonly vgaMemoryByteLength: number;
	readonly time: TimeMode;
	/** Whether guest code is compiled. Ten times as fast; without it a counted machine does the same on every run. */
	readonly compile: boolean;
	/** Whether it has a balloon; it has none if left out. */
	readonly balloon?: boolean;
}

/** What a machine may be asked to be. */
export interface V86HardwareOptions {
	/** RAM in bytes: a multiple of 128 KiB from 1 MiB to 1 GiB. 64 MiB if left out. */
	readonly memoryByteLength?: number;
	/** Memory of the graphics card: a power of two from 256 KiB (the default; enough for text) to 2 MiB. */
	readonly vgaMemoryByteLength?: number;
	/** `real` if left out. A `counted` clock gives the same run every time, as fast as it goes. */
	readonly time?: TimeMode;
	/** Whether guest code is compiled: `true` if left out. Only without it is a counted run the same to the last bit. */
	readonly compile?: boolean;
	/**
	 * Whether it has a balloon (virtio): `false` if left out. The guest is then a BallooningV86Guest, and its system needs
	 * the modules `virtio_pci` and `virtio_balloon`.
	 */
	readonly balloon?: boolean;
}

const USUAL_MEMORY_BYTES = 64 * 2 ** 20;
const USUAL_VGA_BYTES = 256 * 2 ** 10;
/** Limits of {@link V86HardwareOptions.memoryByteLength}. */
const SMALLEST_MEMORY_BYTES = 2 ** 20;
export const LARGEST_MEMORY_BYTES: number = 2 ** 30;
/**
 * v86 maps addresses in blocks of this size, and rounds RAM up to whole ones: a machine of another size would not be the one that
 * was asked for, and its state none that a target of that size takes.
 */
const MEMORY_BLOCK_BYTES = 128 * 2 ** 10;

/** What is built, with what was left out. @throws RangeError naming the argument */
export function hardwareOf(options: V86HardwareOptions): V86Hardware {
	const { memoryByteLength = USUAL_MEMORY_BYTES, vgaMemoryByteLength = USUAL_VGA_BYTES } = options;
	const hardware = {
		memoryByteLength,
		vgaMemoryByteLength,
		time: options.time ?? "real",
		compile: options.compile ?? true,
		...(options.balloon === undefined ? {} : { balloon: options.balloon }),
	};
	const wrong = hardwareProblem(hardware);
	if (wrong !== undefined) throw new RangeError(wrong);
	return hardware;
}

/** Why no machine can be built like this, naming the argument; `undefined` if one can. */
export function hardwareProblem({ memoryByteLength, vgaMemoryByteLength, balloon }: V86Hardware): string | undefined {
	if (
		!(memoryByteLength >= SMALLEST_MEMORY_BYTES && memoryByteLength <= LARGEST_MEMORY_BYTES) ||
		memoryByteLength % MEMORY_BLOCK_BYTES !== 0
	)
		return `memoryByteLength: ${memoryByteLength} is no multiple of ${MEMORY_BLOCK_BYTES} from ${SMALLEST_MEMORY_BYTES} to ${LARGEST_MEMORY_BYTES}`;
	if (![18, 19, 20, 21].some((power) => vgaMemoryByteLength === 2 ** power))
		return `vgaMemoryByteLength: ${vgaMemoryByteLength} is no power of two from 256 KiB to 2 MiB`;
	if (balloon !== undefined && typeof balloon !== "boolean") return `balloon: '${balloon}' is neither true nor false`;
	return undefined;
}
