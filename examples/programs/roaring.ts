// Roaring bitmaps (roaring-wasm) as a guest: a request names a range of numbers, `first step count`, that join a set.
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { AnswerTable, answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";
import { letteredImports, moduleBytesOf, namedExports, type PackageModule } from "./package-module.ts";

const PACKAGE: PackageModule = { name: "roaring-wasm", version: "1.1.0", module: "index.wasm", glue: "index.js" };

const IMPORTS: Readonly<Record<string, string>> = {
	...{ a: "__assert_fail", b: "proc_exit", c: "_emscripten_runtime_keepalive_clear", d: "_abort_js" },
	...{ e: "_setitimer_js", f: "_emscripten_memcpy_js", g: "emscripten_resize_heap" },
};

/** The part of the C interface that is used here; pointers are numbers. */
interface Roaring {
	jsalloc_unsafe(byteLength: number): number;
	free(pointer: number): void;
	roaring_bitmap_create_js(): number;
	roaring_bitmap_add(bitmap: number, value: number): void;
	roaring_bitmap_get_cardinality_js(bitmap: number): number;
	roaring_bitmap_run_optimize(bitmap: number): number;
	roaring_bitmap_portable_size_in_bytes(bitmap: number): number;
	roaring_bitmap_portable_serialize(bitmap: number, to: number): number;
}

class NumberSet implements Interpreter {
	readonly #roaring: Roaring;
	readonly #answers: AnswerTable;
	readonly host: HostAccess;
	bitmap = 0;

	constructor(roaring: Roaring, host: HostAccess) {
		this.#roaring = roaring;
		this.host = host;
		this.#answers = new AnswerTable(host, new CStrings(host, (byteLength) => this.allocate(byteLength)));
	}

	open(): void {
		this.#answers.open((byteLength) => this.allocate(byteLength));
		this.bitmap = this.#roaring.roaring_bitmap_create_js();
	}

	answer(number: number, range: string): string {
		return this.#answers.answer(number, () => this.#add(range));
	}

	dump(): string {
		const size = this.#roaring.roaring_bitmap_portable_size_in_bytes(this.bitmap);
		const pointer = this.allocate(size);
		this.#roaring.roaring_bitmap_portable_serialize(this.bitmap, pointer);
		const bytes = this.host.read(pointer, size);
		this.#roaring.free(pointer);
		return `${this.#answers.dump()}\n${bytes.join(" ")}`;
	}

	allocate(byteLength: number): number {
		return this.#roaring.jsalloc_unsafe(byteLength);
	}

	get pointers(): [bitmap: number, answers: number] {
		return [this.bitmap, this.#answers.pointer];
	}

	set pointers([bitmap, answers]) {
		this.bitmap = bitmap;
		this.#answers.pointer = answers;
	}

	#add(range: string): string {
		const [first = 0, step = 1, count = 0] = range.split(" ").map(Number);
		for (let i = 0; i < count; i++) this.#roaring.roaring_bitmap_add(this.bitmap, first + i * step);
		this.#roaring.roaring_bitmap_run_optimize(this.bitmap);
		return String(this.#roaring.roaring_bitmap_get_cardinality_js(this.bitmap));
	}
}

export default defineProgram({
	name: "roaring",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => moduleBytesOf(PACKAGE),
	async start({ host, instantiate }) {
		const imports = letteredImports(IMPORTS, wasiImports({ host }), emscriptenEnv({ host }));
		const { exports } = await instantiate({ a: imports });
		const set = new NumberSet(namedExports(PACKAGE, exports) as unknown as Roaring, host);
		return {
			initialize: () => set.open(),
			call: answerNumbered(set),
			capture: () => packPointers(...set.pointers),
			restore(bytes) {
				set.pointers = unpackPointers(bytes, 2) as [number, number];
			},
		};
	},
});
