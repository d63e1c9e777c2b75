// QuickJS once more, built for WASI preview 1: a reactor module from npm behind our own layer. Its runtime and its context are
// in its memory, so JavaScript holds nothing that would have to travel.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { answerNumbered, CStrings, type Interpreter } from "../../examples/programs/numbered.ts";
import { GUEST_SIDE } from "../../examples/programs/quickjs.ts";

/** The part of the module's interface that is used here; pointers are numbers. */
interface QuickJsReactor {
	_initialize(): void;
	qjs_init(): number;
	qjs_eval(code: number, byteLength: number, file: number, flags: number): number;
	qjs_is_exception(value: number): number;
	qjs_get_exception(): number;
	qjs_get_string(value: number): number;
	qjs_free_cstring(text: number): void;
	qjs_free_value(value: number): void;
	wasm_malloc(byteLength: number): number;
	wasm_free(pointer: number): void;
}

class JsContext implements Interpreter {
	readonly #quickJs: QuickJsReactor;
	readonly #strings: CStrings;
	readonly host: HostAccess;

	constructor(quickJs: QuickJsReactor, host: HostAccess) {
		this.#quickJs = quickJs;
		this.host = host;
		this.#strings = new CStrings(host, (byteLength) => quickJs.wasm_malloc(byteLength));
	}

	open(): void {
		this.#quickJs._initialize();
		if (this.#quickJs.qjs_init() !== 0) throw new Error("the runtime could not be made");
		this.#evaluate(GUEST_SIDE);
	}

	answer(number: number, source: string): string {
		return this.#evaluate(`answer(${Number(number)}, ${JSON.stringify(source)})`);
	}

	dump(): string {
		return this.#evaluate("dump()");
	}

	allocate(byteLength: number): number {
		return this.#quickJs.wasm_malloc(byteLength);
	}

	#evaluate(code: string): string {
		const { pointer, byteLength } = this.#strings.write(code);
		const file = this.#strings.write("request.js").pointer;
		const value = this.#quickJs.qjs_eval(pointer, byteLength, file, 0);
		this.#quickJs.wasm_free(file);
		this.#quickJs.wasm_free(pointer);
		const failed = this.#quickJs.qjs_is_exception(value) !== 0;
		const exception = failed ? this.#quickJs.qjs_get_exception() : value;
		const text = this.#quickJs.qjs_get_string(exception);
		const result = this.#strings.read(text);
		this.#quickJs.qjs_free_cstring(text);
		this.#quickJs.qjs_free_value(value);
		if (!failed) return result;
		this.#quickJs.qjs_free_value(exception);
		throw new Error(result);
	}
}

/** What a request of the tests never needs. */
const none = (): number => 0;

export default defineProgram({
	name: "quickjs-wasi",
	version: "1",
	policy: { clock: "none", random: "seeded" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => readFile(createRequire(import.meta.url).resolve("quickjs-wasi/quickjs.wasm")),
	async start({ host, instantiate }) {
		// One moment for ever: answers and the dump of globals (performance.timeOrigin) are those of every other run.
		const clock = (): bigint => 1_000_000_000n;
		const { exports } = await instantiate({
			wasi_snapshot_preview1: wasiImports({ host, clock, random: (bytes) => void bytes.fill(7) }),
			env: {
				...{ host_get_timezone_offset: none, host_interrupt: none, host_promise_rejection: none },
				...{ host_module_normalize: none, host_module_load: none, host_call: none },
			},
		});
		const guest = new JsContext(exports as unknown as QuickJsReactor, host);
		return { initialize: () => guest.open(), call: answerNumbered(guest) };
	},
});
