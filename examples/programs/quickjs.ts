// QuickJS as a guest: the module of the package without its glue. Pointers are numbers that travel in eight bytes, where the
// package's own objects would have to be made anew around them.
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";
import { letteredImports, moduleBytesOf, namedExports, type PackageModule } from "./package-module.ts";

const PACKAGE: PackageModule = {
	name: "@jitl/quickjs-wasmfile-release-sync",
	version: "0.32.0",
	module: "dist/emscripten-module.wasm",
	glue: "dist/emscripten-module.mjs",
	through: "quickjs-emscripten",
};

/** What the module calls its imports; those by which it would call functions of the host are left out. */
const IMPORTS: Readonly<Record<string, string>> = {
	...Object.fromEntries(Array.from("sihgt", (letter) => [letter, "none"])),
	...{ b: "__assert_fail", q: "_abort_js", l: "_emscripten_runtime_keepalive_clear", j: "_setitimer_js" },
	...{ m: "_localtime_js", n: "_tzset_js", p: "emscripten_date_now", k: "emscripten_resize_heap" },
	...{ e: "environ_get", f: "environ_sizes_get", d: "fd_close", o: "fd_seek", c: "fd_write", r: "proc_exit" },
};

/** JavaScript makes this module's memory: 16 MiB at first, as in the package. */
const FIRST_PAGES = 256;
const MOST_PAGES = 32_768;

/** The part of the package's interface that is used here; pointers are numbers. */
interface QuickJs {
	QTS_NewRuntime(): number;
	QTS_NewContext(runtime: number, intrinsics: number): number;
	QTS_Eval(
		context: number,
		code: number,
		byteLength: number,
		file: number,
		detectModule: number,
		flags: number,
	): number;
	QTS_ResolveException(context: number, value: number): number;
	QTS_GetString(context: number, value: number): number;
	QTS_FreeCString(context: number, text: number): void;
	QTS_FreeValuePointer(context: number, value: number): void;
	malloc(byteLength: number): number;
	free(pointer: number): void;
}

/** Runs inside the guest: whatever build of the engine it is. */
export const GUEST_SIDE = `
Object.defineProperty(globalThis, "answered", { value: new Map() });
Object.defineProperty(globalThis, "answer", { value(number, source) {
	if (!answered.has(number)) {
		let text;
		try { text = JSON.stringify((0, eval)(source)) ?? "undefined"; } catch (error) { text = "error: " + error; }
		answered.set(number, text);
	}
	return answered.get(number);
} });
Object.defineProperty(globalThis, "dump", { value() {
	const plain = (key, value) => value instanceof Map ? [...value] : value;
	return JSON.stringify([Object.keys(globalThis).sort().map((key) => [key, globalThis[key]]), answered], plain);
} });
"ready"`;

class JsContext implements Interpreter {
	readonly #quickJs: QuickJs;
	readonly #strings: CStrings;
	readonly host: HostAccess;
	/** JSRuntime* and JSContext*. */
	runtime = 0;
	context = 0;

	constructor(quickJs: QuickJs, host: HostAccess) {
		this.#quickJs = quickJs;
		this.host = host;
		this.#strings = new CStrings(host, (byteLength) => quickJs.malloc(byteLength));
	}

	open(): void {
		this.runtime = this.#quickJs.QTS_NewRuntime();
		this.context = this.#quickJs.QTS_NewContext(this.runtime, 0);
		this.#evaluate(GUEST_SIDE);
	}

	answer(number: number, source: string): string {
		return this.#evaluate(`answer(${Number(number)}, ${JSON.stringify(source)})`);
	}

	dump(): string {
		return this.#evaluate("dump()");
	}

	allocate(byteLength: number): number {
		return this.#quickJs.malloc(byteLength);
	}

	#evaluate(code: string): string {
		const { pointer, byteLength } = this.#strings.write(code);
		const file = this.#strings.write("request.js").pointer;
		const value = this.#quickJs.QTS_Eval(this.context, pointer, byteLength, file, 0, 0);
		this.#quickJs.free(file);
		this.#quickJs.free(pointer);
		const exception = this.#quickJs.QTS_ResolveException(this.context, value);
		const text = this.#quickJs.QTS_GetString(this.context, exception === 0 ? value : exception);
		const result = this.#strings.read(text);
		this.#quickJs.QTS_FreeCString(this.context, text);
		this.#quickJs.QTS_FreeValuePointer(this.context, value);
		if (exception === 0) return result;
		this.#quickJs.QTS_FreeValuePointer(this.context, exception);
		throw new Error(result);
	}
}

export default defineProgram({
	name: "quickjs",
	version: "2",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => moduleBytesOf(PACKAGE),
	async start({ host, instantiate, minimumMemoryPages }) {
		const initial = Math.max(FIRST_PAGES, minimumMemoryPages);
		const memory = new WebAssembly.Memory({ initial, maximum: MOST_PAGES });
		const env = emscriptenEnv({ host, now: Date.now });
		const { exports } = await instantiate({
			a: { ...letteredImports(IMPORTS, wasiImports({ host }), env), a: memory },
		});
		const guest = new JsContext(namedExports(PACKAGE, exports) as unknown as QuickJs, host);
		return {
			initialize() {
				(exports.u as () => void)(); // __wasm_call_ctors
				guest.open();
			},
			call: answerNumbered(guest),
			capture: () => packPointers(guest.runtime, guest.context),
			restore(bytes) {
				[guest.runtime, guest.context] = unpackPointers(bytes, 2) as [number, number];
			},
		};
	},
});
