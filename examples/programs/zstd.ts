// Zstandard (@bokuweb/zstd-wasm) as a guest: each request is a text that joins what was compressed before; the compressed
// log lies in the module's memory.
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { AnswerTable, answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";
import { letteredImports, moduleBytesOf, namedExports, type PackageModule } from "./package-module.ts";

const PACKAGE: PackageModule = {
	name: "@bokuweb/zstd-wasm",
	version: "0.0.27",
	module: "dist/common/zstd.wasm",
	glue: "dist/common/zstd.js",
};

const IMPORTS: Readonly<Record<string, string>> = {
	...{ a: "proc_exit", b: "_emscripten_runtime_keepalive_clear", c: "_abort_js", d: "_setitimer_js" },
	e: "emscripten_resize_heap",
};

/** The part of the C interface that is used here; pointers are numbers. */
interface Zstd {
	malloc(byteLength: number): number;
	free(pointer: number): void;
	ZSTD_compressBound(byteLength: number): number;
	ZSTD_compress(to: number, capacity: number, from: number, byteLength: number, level: number): number;
	ZSTD_decompress(to: number, capacity: number, from: number, byteLength: number): number;
	ZSTD_isError(result: number): number;
}

const LEVEL = 3;

/** The log: a compressed frame, and how long it is and was. */
class Log implements Interpreter {
	readonly #zstd: Zstd;
	readonly #answers: AnswerTable;
	readonly #strings: CStrings;
	readonly host: HostAccess;
	/** Of three words: the frame, its bytes, the text's bytes. */
	head = 0;

	constructor(zstd: Zstd, host: HostAccess) {
		this.#zstd = zstd;
		this.host = host;
		this.#strings = new CStrings(host, (byteLength) => zstd.malloc(byteLength));
		this.#answers = new AnswerTable(host, this.#strings);
	}

	open(): void {
		this.#answers.open((byteLength) => this.#zstd.malloc(byteLength));
		this.head = this.#zstd.malloc(12);
		this.host.fill(this.head, 12, 0);
	}

	answer(number: number, text: string): string {
		return this.#answers.answer(number, () => this.#append(text));
	}

	dump(): string {
		const { pointer, byteLength } = this.#expand();
		const text = pointer === 0 ? "" : this.host.readText(pointer, byteLength);
		this.#zstd.free(pointer);
		return `${this.#answers.dump()}\n${text}`;
	}

	allocate(byteLength: number): number {
		return this.#zstd.malloc(byteLength);
	}

	/** JavaScript holds two pointers. */
	get pointers(): [head: number, answers: number] {
		return [this.head, this.#answers.pointer];
	}

	set pointers([head, answers]) {
		this.head = head;
		this.#answers.pointer = answers;
	}

	#append(text: string): string {
		const before = this.#expand();
		const bytes = this.host.encodeText(text).subarray(0, -1);
		const byteLength = before.byteLength + bytes.byteLength;
		const whole = this.#zstd.malloc(byteLength);
		if (before.byteLength > 0) this.host.write(whole, this.host.read(before.pointer, before.byteLength));
		this.host.write(whole + before.byteLength, bytes);
		const capacity = this.#zstd.ZSTD_compressBound(byteLength);
		const frame = this.#zstd.malloc(capacity);
		const size = this.#checked(this.#zstd.ZSTD_compress(frame, capacity, whole, byteLength, LEVEL));
		for (const pointer of [whole, before.pointer, this.host.readWord(this.head)]) this.#zstd.free(pointer);
		for (const [i, word] of [frame, size, byteLength].entries()) this.host.writeWord(this.head + i * 4, word);
		return `${byteLength} bytes in ${size}`;
	}

	#expand(): { readonly pointer: number; readonly byteLength: number } {
		const [frame, size, byteLength] = [0, 4, 8].map((at) => this.host.readWord(this.head + at)) as [
			number,
			number,
			number,
		];
		if (frame === 0) return { pointer: 0, byteLength: 0 };
		const pointer = this.#zstd.malloc(byteLength);
		this.#checked(this.#zstd.ZSTD_decompress(pointer, byteLength, frame, size));
		return { pointer, byteLength };
	}

	#checked(result: number): number {
		if (this.#zstd.ZSTD_isError(result) !== 0) throw new Error(`zstd failed with ${result}`);
		return result;
	}
}

export default defineProgram({
	name: "zstd",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => moduleBytesOf(PACKAGE),
	async start({ host, instantiate }) {
		const imports = letteredImports(IMPORTS, wasiImports({ host }), emscriptenEnv({ host }));
		const { exports } = await instantiate({ a: imports });
		const log = new Log(namedExports(PACKAGE, exports) as unknown as Zstd, host);
		return {
			initialize() {
				(exports.g as () => void)(); // __wasm_call_ctors
				log.open();
			},
			call: answerNumbered(log),
			capture: () => packPointers(...log.pointers),
			restore(bytes) {
				log.pointers = unpackPointers(bytes, 2) as [number, number];
			},
		};
	},
});
