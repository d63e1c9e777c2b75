// QuickJS as a guest, through the low-level functions of its package: pointers are numbers that travel in eight bytes,
// where the package's own objects would have to be made anew around them.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { RELEASE_SYNC } from "quickjs-emscripten";
import { emscriptenOptions } from "../../bindings/guests/wasm/emscripten.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";

/** The part of the package's interface that is used here; pointers are numbers. */
interface QuickJs {
	QTS_NewRuntime(): number;
	QTS_NewContext(runtime: number, intrinsics: number): number;
	QTS_Eval(
		context: number,
		code: number,
		byteLength: number,
		file: string,
		detectModule: number,
		flags: number,
	): number;
	QTS_ResolveException(context: number, value: number): number;
	QTS_GetString(context: number, value: number): number;
	QTS_FreeCString(context: number, text: number): void;
	QTS_FreeValuePointer(context: number, value: number): void;
}

interface Heap {
	_malloc(byteLength: number): number;
	_free(pointer: number): void;
}

/** Runs inside the guest. */
const GUEST_SIDE = `
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
	readonly #heap: Heap;
	readonly #strings: CStrings;
	readonly memory: () => WebAssembly.Memory;
	/** JSRuntime* and JSContext*. */
	runtime = 0;
	context = 0;

	constructor(quickJs: QuickJs, heap: Heap, memory: () => WebAssembly.Memory) {
		this.#quickJs = quickJs;
		this.#heap = heap;
		this.memory = memory;
		this.#strings = new CStrings(memory, (byteLength) => heap._malloc(byteLength));
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
		return this.#heap._malloc(byteLength);
	}

	#evaluate(code: string): string {
		const { pointer, byteLength } = this.#strings.write(code);
		const value = this.#quickJs.QTS_Eval(this.context, pointer, byteLength, "request.js", 0, 0);
		this.#heap._free(pointer);
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

function moduleFile(): string {
	const require = createRequire(import.meta.url);
	return createRequire(require.resolve("quickjs-emscripten")).resolve("@jitl/quickjs-wasmfile-release-sync/wasm");
}

export default defineProgram({
	name: "quickjs",
	version: "1",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: true,
	moduleBytes: () => readFile(moduleFile()),
	async start(context) {
		const options = emscriptenOptions(context);
		const loadGlue = (await RELEASE_SYNC.importModuleLoader()) as (options: object) => Promise<Heap>;
		const heap = await Promise.race([loadGlue(options), options.failed]);
		const QuickJsFunctions = (await RELEASE_SYNC.importFFI()) as unknown as new (module: Heap) => QuickJs;
		const guest = new JsContext(new QuickJsFunctions(heap), heap, context.memory);
		return {
			initialize: () => guest.open(),
			call: answerNumbered(guest),
			capture: () => packPointers(guest.runtime, guest.context),
			restore(bytes) {
				[guest.runtime, guest.context] = unpackPointers(bytes, 2) as [number, number];
			},
		};
	},
});
