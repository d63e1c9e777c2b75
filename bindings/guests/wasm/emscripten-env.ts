/**
 * Imports of Emscripten's modules for programs that declare their host access: the package's own glue reads and writes
 * memory everywhere without saying so. Enough for modules that compute: memory that grows, a clock, assertions, longjmp.
 * What needs files answers as if there were none.
 *
 * Minified modules call their imports by letters; the program says which letter is what.
 */
import type { HostAccess } from "./host-access.ts";
import { WasiExit } from "./wasi.ts";

/** Numbers of errors, as Emscripten's C library counts them: WASI's, negative. */
const NO_ENTRY = -44;
const NO_SYSTEM_CALL = -52;
const MAX_HEAP_BYTES = 2 ** 31;
/** Growth by at least a fifth, as Emscripten's glue does: each time costs all of the host's views. */
const GROWTH = 1.2;

/** What the functions need. */
export interface EmscriptenEnvOptions {
	readonly host: HostAccess;
	/** The instance's exports, for calls by table index; asked for when the first is made. */
	readonly exports?: () => EmscriptenCalls;
	/** Milliseconds since 1970. Left out: the epoch. */
	readonly now?: () => number;
}

/** What `invoke_*` functions call. */
export interface EmscriptenCalls {
	readonly table: { get(index: number): unknown };
	stackSave(): number;
	stackRestore(pointer: number): void;
	setThrew(threw: number, value: number): void;
}

/** What longjmp throws. */
class Longjmp extends Error {
	override readonly name = "Longjmp";
}

type Functions = Record<string, (...values: never[]) => unknown>;

/**
 * @returns functions by their names in Emscripten's C library
 *
 * @example
 * ```ts ignore
 * const env = emscriptenEnv({ host: context.host });
 * const imports = { a: { a: env.__assert_fail, l: env.emscripten_resize_heap } }; // as the package's glue names them
 * ```
 */
export function emscriptenEnv({ host, exports, now = () => 0 }: EmscriptenEnvOptions): Functions {
	const stop = (why: string): never => {
		throw new WebAssembly.RuntimeError(why);
	};
	return {
		...timeImports(host, now),
		...callImports(exports),
		__assert_fail: (condition: number, file: number, line: number) =>
			stop(`assertion failed: ${host.readText(condition)} (${host.readText(file)}:${line})`),
		_abort_js: () => stop("the module has aborted"),
		abort: () => stop("the module has aborted"),
		exit: (status: number) => {
			throw new WasiExit(status);
		},
		_emscripten_memcpy_js: (to: number, from: number, byteLength: number) =>
			host.write(to, host.read(from, byteLength >>> 0)),
		_emscripten_runtime_keepalive_clear: () => undefined,
		_setitimer_js: () => 0,
		emscripten_get_heap_max: () => MAX_HEAP_BYTES,
		emscripten_resize_heap(wanted: number): number {
			const least = wanted >>> 0;
			const generous = Math.max(least, Math.min(host.byteLength * GROWTH, MAX_HEAP_BYTES));
			return host.grow(generous) || host.grow(least) ? 1 : 0;
		},
		__syscall_openat: () => NO_ENTRY,
		__syscall_stat64: () => NO_ENTRY,
		__syscall_lstat64: () => NO_ENTRY,
		__syscall_newfstatat: () => NO_ENTRY,
		__syscall_geteuid32: () => 0,
		none: () => NO_SYSTEM_CALL,
	};
}

function timeImports(host: HostAccess, now: () => number): Functions {
	const breakDown = (seconds: bigint | number, result: number): number => {
		// biome-ignore lint/style/noRestrictedGlobals: a calendar, not a clock: the time is given
		const date = new Date(Number(seconds) * 1000);
		// biome-ignore lint/style/noRestrictedGlobals: see above
		const start = Date.UTC(date.getUTCFullYear(), 0, 1);
		const fields = [
			...[date.getUTCSeconds(), date.getUTCMinutes(), date.getUTCHours(), date.getUTCDate()],
			...[date.getUTCMonth(), date.getUTCFullYear() - 1900, date.getUTCDay()],
			...[Math.floor((date.getTime() - start) / 86_400_000), 0, 0],
		];
		for (const [i, field] of fields.entries()) host.writeWord(result + i * 4, field);
		return 0;
	};
	return {
		emscripten_date_now: now,
		emscripten_get_now: now,
		_emscripten_get_now_is_monotonic: () => 0,
		// A guest that moves has no place of its own: its time is UTC.
		_gmtime_js: breakDown,
		_localtime_js: breakDown,
		_tzset_js(offset: number, daylight: number, standardName: number, daylightName: number): void {
			host.writeWord(offset, 0);
			host.writeWord(daylight, 0);
			for (const name of [standardName, daylightName]) host.write(name, host.encodeText("UTC"));
		},
	};
}

/** setjmp and longjmp: calls by table index that end early. */
function callImports(exports: (() => EmscriptenCalls) | undefined): Functions {
	return {
		_emscripten_throw_longjmp() {
			throw new Longjmp("longjmp");
		},
		/** Every `invoke_*`: the first argument is the function's place in the table. */
		invoke(index: number, ...values: never[]): unknown {
			const calls = exports?.();
			const f = calls?.table.get(index);
			if (calls === undefined || typeof f !== "function") throw new TypeError(`invoke: no function at ${index}`);
			const stack = calls.stackSave();
			try {
				return f(...values);
			} catch (error) {
				calls.stackRestore(stack);
				if (!(error instanceof Longjmp)) throw error;
				calls.setThrew(1, 0);
				return undefined;
			}
		},
	};
}
