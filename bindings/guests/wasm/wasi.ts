/**
 * WASI preview 1 for programs that declare their host access: what command and reactor modules need to compute, with every
 * access to memory said. No files, no sockets: a descriptor means nothing in another process, and what a guest keeps in
 * files of its host does not move with it.
 *
 * What answers can depend on is given by the program, and so is part of its policy: arguments, environment, clock, random
 * numbers. What is not given answers `ENOSYS`.
 *
 * Source: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */
import type { HostAccess } from "./host-access.ts";

/** Numbers of errors, as WASI counts them. */
const ERRNO = { success: 0, badFile: 8, invalid: 28, noSystemCall: 52, notSeekable: 70 } as const;

const STDIN = 0;
const STDERR = 2;
/** fd_fdstat_get: a character device. */
const CHARACTER_DEVICE = 2;
/** The most that one call reads or writes: a request must not make the host allocate without bounds. */
const MAX_TRANSFER_BYTES = 2 ** 20;

/** What the module finds outside. */
export interface WasiOptions {
	readonly host: HostAccess;
	readonly args?: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
	/** Nanoseconds of a clock (0 the time of day, 1 monotonic). Left out: the module has no clock. */
	readonly clock?: (id: number) => bigint;
	/** Fills bytes. Left out: the module has no random numbers. */
	readonly random?: (bytes: Uint8Array) => void;
	/** What the module writes to its standard output (1) and error (2). Left out: it is dropped. */
	readonly write?: (descriptor: number, bytes: Uint8Array) => void;
	/** Up to so many bytes of standard input. Left out: it is empty. */
	readonly read?: (byteLength: number) => Uint8Array;
}

/** The module has called `proc_exit`. */
export class WasiExit extends Error {
	override readonly name = "WasiExit";
	readonly status: number;
	constructor(status: number) {
		super(`the module ended with status ${status}`);
		this.status = status;
	}
}

/**
 * @returns the functions of `wasi_snapshot_preview1`
 *
 * @example
 * ```ts ignore
 * const imports = { wasi_snapshot_preview1: wasiImports({ host: context.host, args: ["program"] }) };
 * const { exports } = await context.instantiate(imports);
 * ```
 */
export function wasiImports(options: WasiOptions): Record<string, (...values: never[]) => unknown> {
	const { host, clock, random, args = [], env = {} } = options;
	const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
	return {
		...listImports(host, "args", args),
		...listImports(host, "environ", variables),
		...streamImports(options),
		clock_time_get(id: number, _precision: bigint, result: number): number {
			if (clock === undefined) return ERRNO.noSystemCall;
			host.writeLong(result, clock(id));
			return ERRNO.success;
		},
		clock_res_get(_id: number, result: number): number {
			if (clock === undefined) return ERRNO.noSystemCall;
			host.writeLong(result, 1_000_000n);
			return ERRNO.success;
		},
		random_get(pointer: number, byteLength: number): number {
			if (random === undefined) return ERRNO.noSystemCall;
			if (byteLength >>> 0 > MAX_TRANSFER_BYTES) return ERRNO.invalid;
			const bytes = new Uint8Array(byteLength);
			random(bytes);
			host.write(pointer, bytes);
			return ERRNO.success;
		},
		proc_exit(status: number): never {
			throw new WasiExit(status);
		},
		sched_yield: () => ERRNO.success,
		poll_oneoff: () => ERRNO.noSystemCall,
	};
}

type Imports = Record<string, (...values: never[]) => unknown>;

/** Arguments and environment: sizes, then pointers and texts. */
function listImports(host: HostAccess, name: "args" | "environ", texts: readonly string[]): Imports {
	const encoded = texts.map((text) => host.encodeText(text));
	const byteLength = encoded.reduce((sum, bytes) => sum + bytes.byteLength, 0);
	return {
		[`${name}_sizes_get`](count: number, bytes: number): number {
			host.writeWord(count, encoded.length);
			host.writeWord(bytes, byteLength);
			return ERRNO.success;
		},
		[`${name}_get`](pointers: number, texts: number): number {
			let at = texts;
			for (const [i, bytes] of encoded.entries()) {
				host.writeWord(pointers + i * 4, at);
				host.write(at, bytes);
				at += bytes.byteLength;
			}
			return ERRNO.success;
		},
	};
}

/** Standard input, output and error. Every other descriptor is none. */
function streamImports({ host, write, read }: WasiOptions): Imports {
	const isStream = (descriptor: number): boolean => descriptor >= STDIN && descriptor <= STDERR;
	return {
		fd_write(descriptor: number, vectors: number, count: number, written: number): number {
			if (!isStream(descriptor) || descriptor === STDIN) return ERRNO.badFile;
			let total = 0;
			for (const { pointer, byteLength } of vectorsOf(host, vectors, count)) {
				if (total + byteLength > MAX_TRANSFER_BYTES) break;
				write?.(descriptor, host.read(pointer, byteLength));
				total += byteLength;
			}
			host.writeWord(written, total);
			return ERRNO.success;
		},
		fd_read(descriptor: number, vectors: number, count: number, done: number): number {
			if (descriptor !== STDIN) return ERRNO.badFile;
			let total = 0;
			for (const { pointer, byteLength } of vectorsOf(host, vectors, count)) {
				const wanted = Math.min(byteLength, MAX_TRANSFER_BYTES - total);
				const bytes = read?.(wanted).subarray(0, wanted) ?? new Uint8Array(0);
				host.write(pointer, bytes);
				total += bytes.byteLength;
				if (bytes.byteLength < byteLength) break;
			}
			host.writeWord(done, total);
			return ERRNO.success;
		},
		fd_close: (descriptor: number) => (isStream(descriptor) ? ERRNO.success : ERRNO.badFile),
		fd_seek: (descriptor: number) => (isStream(descriptor) ? ERRNO.notSeekable : ERRNO.badFile),
		fd_sync: (descriptor: number) => (isStream(descriptor) ? ERRNO.success : ERRNO.badFile),
		fd_fdstat_get(descriptor: number, result: number): number {
			if (!isStream(descriptor)) return ERRNO.badFile;
			const status = new Uint8Array(24);
			status[0] = CHARACTER_DEVICE;
			host.write(result, status);
			return ERRNO.success;
		},
		fd_fdstat_set_flags: (descriptor: number) => (isStream(descriptor) ? ERRNO.success : ERRNO.badFile),
		fd_prestat_get: () => ERRNO.badFile,
		fd_prestat_dir_name: () => ERRNO.badFile,
		path_open: () => ERRNO.noSystemCall,
	};
}

/** Pairs of pointer and length. */
function* vectorsOf(
	host: HostAccess,
	vectors: number,
	count: number,
): Generator<{ readonly pointer: number; readonly byteLength: number }> {
	for (let i = 0; i < count >>> 0; i++) {
		const at = vectors + i * 8;
		yield { pointer: host.readWord(at), byteLength: host.readWord(at + 4) };
	}
}
