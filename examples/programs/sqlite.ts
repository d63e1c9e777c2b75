// SQLite (sql.js) as a guest: the module of the package without its glue, which reads the module's memory without saying so.
// The database is `:memory:`, so every byte of it lies in the module's memory; there are no files.
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";
import { letteredImports, moduleBytesOf, namedExports, type PackageModule } from "./package-module.ts";

const PACKAGE: PackageModule = {
	name: "sql.js",
	version: "1.16.0",
	module: "dist/sql-wasm.wasm",
	glue: "dist/sql-wasm.js",
};

/** What the module calls its imports. Files, and what is left out here, answer as if there were none. */
const IMPORTS: Readonly<Record<string, string>> = {
	...Object.fromEntries(Array.from("bfghijkmnoqrstuvxyzCDEFGHIJKLMN", (letter) => [letter, "none"])),
	...{ a: "__assert_fail", w: "_abort_js", v: "_emscripten_runtime_keepalive_clear", k: "_setitimer_js" },
	...{ d: "emscripten_date_now", c: "emscripten_get_now", A: "_localtime_js", B: "_tzset_js" },
	...{ p: "emscripten_get_heap_max", l: "emscripten_resize_heap", F: "__syscall_geteuid32" },
	...{ x: "__syscall_openat", N: "__syscall_stat64", M: "__syscall_lstat64", L: "__syscall_newfstatat" },
	...{
		G: "environ_get",
		H: "environ_sizes_get",
		e: "fd_close",
		E: "fd_seek",
		q: "fd_write",
		t: "fd_read",
		u: "proc_exit",
	},
};

/** The part of SQLite's C interface that is used here; pointers are numbers. */
interface SqliteModule {
	malloc(byteLength: number): number;
	free(pointer: number): void;
	sqlite3_open(name: number, out: number): number;
	sqlite3_prepare_v2(db: number, sql: number, byteLength: number, statement: number, tail: number): number;
	sqlite3_step(statement: number): number;
	sqlite3_finalize(statement: number): number;
	sqlite3_column_count(statement: number): number;
	sqlite3_column_type(statement: number, column: number): number;
	sqlite3_column_text(statement: number, column: number): number;
	sqlite3_column_double(statement: number, column: number): number;
	sqlite3_bind_double(statement: number, parameter: number, value: number): number;
	sqlite3_bind_text(statement: number, parameter: number, text: number, byteLength: number, destructor: number): number;
	sqlite3_errmsg(db: number): number;
}

const ROW = 100;
const INTEGER = 1;
const FLOAT = 2;
const NULL = 5;
/** SQLite copies the text before it returns. */
const TRANSIENT = -1;

type Value = number | string | null;

/** One connection to the `:memory:` database. */
class Connection implements Interpreter {
	readonly #sqlite: SqliteModule;
	readonly #strings: CStrings;
	readonly host: HostAccess;
	/** sqlite3*: the only thing JavaScript holds of the database. */
	handle = 0;

	constructor(sqlite: SqliteModule, host: HostAccess) {
		this.#sqlite = sqlite;
		this.host = host;
		this.#strings = new CStrings(host, (byteLength) => sqlite.malloc(byteLength));
	}

	open(): void {
		const name = this.#strings.write(":memory:").pointer;
		const out = this.#sqlite.malloc(4);
		if (this.#sqlite.sqlite3_open(name, out) !== 0) throw new Error("sqlite3_open failed");
		this.handle = this.#strings.word(out);
		this.#sqlite.free(out);
		this.#sqlite.free(name);
		this.run("CREATE TABLE answered (number INTEGER PRIMARY KEY, answer TEXT NOT NULL)");
	}

	answer(number: number, source: string): string {
		const [known] = this.run("SELECT answer FROM answered WHERE number = ?", [number]);
		if (known !== undefined) return known[0] as string;
		this.run("BEGIN");
		let answer: string;
		try {
			answer = JSON.stringify(this.run(source));
		} catch (error) {
			this.run("ROLLBACK");
			this.run("BEGIN");
			answer = `error: ${(error as Error).message}`;
		}
		this.run("INSERT INTO answered VALUES (?, ?)", [number, answer]);
		this.run("COMMIT");
		return answer;
	}

	dump(): string {
		const tables = this.run("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name");
		return JSON.stringify(tables.map(([name, sql]) => [name, sql, this.run(`SELECT * FROM "${name}" ORDER BY 1`)]));
	}

	allocate(byteLength: number): number {
		return this.#sqlite.malloc(byteLength);
	}

	/** Runs all statements of `sql`. @returns the rows of the last one */
	run(sql: string, parameters: readonly (number | string)[] = []): Value[][] {
		const text = this.#strings.write(sql);
		const out = this.#sqlite.malloc(8);
		let rows: Value[][] = [];
		try {
			for (let at = text.pointer; this.#strings.read(at).trim() !== ""; at = this.#strings.word(out + 4)) {
				this.#check(this.#sqlite.sqlite3_prepare_v2(this.handle, at, -1, out, out + 4));
				const statement = this.#strings.word(out);
				if (statement === 0) continue;
				rows = this.#rows(statement, parameters);
			}
		} finally {
			this.#sqlite.free(out);
			this.#sqlite.free(text.pointer);
		}
		return rows;
	}

	#rows(statement: number, parameters: readonly (number | string)[]): Value[][] {
		const rows: Value[][] = [];
		try {
			parameters.forEach((value, index) => {
				this.#bind(statement, index + 1, value);
			});
			let status = this.#sqlite.sqlite3_step(statement);
			for (; status === ROW; status = this.#sqlite.sqlite3_step(statement)) {
				const columns = this.#sqlite.sqlite3_column_count(statement);
				rows.push(Array.from({ length: columns }, (_, column) => this.#value(statement, column)));
			}
		} finally {
			// Finalizing repeats the error of the step.
			const status = this.#sqlite.sqlite3_finalize(statement);
			this.#check(status);
		}
		return rows;
	}

	#bind(statement: number, parameter: number, value: number | string): void {
		if (typeof value === "number") {
			this.#sqlite.sqlite3_bind_double(statement, parameter, value);
			return;
		}
		const { pointer, byteLength } = this.#strings.write(value);
		this.#sqlite.sqlite3_bind_text(statement, parameter, pointer, byteLength, TRANSIENT);
		this.#sqlite.free(pointer);
	}

	#value(statement: number, column: number): Value {
		switch (this.#sqlite.sqlite3_column_type(statement, column)) {
			case INTEGER:
			case FLOAT:
				return this.#sqlite.sqlite3_column_double(statement, column);
			case NULL:
				return null;
			default:
				return this.#strings.read(this.#sqlite.sqlite3_column_text(statement, column));
		}
	}

	#check(status: number): void {
		if (status !== 0) throw new Error(this.#strings.read(this.#sqlite.sqlite3_errmsg(this.handle)));
	}
}

export default defineProgram({
	name: "sqlite",
	version: "2",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => moduleBytesOf(PACKAGE),
	async start({ host, instantiate }) {
		const env = emscriptenEnv({ host, now: Date.now });
		const { exports } = await instantiate({ a: letteredImports(IMPORTS, wasiImports({ host }), env) });
		const connection = new Connection(namedExports(PACKAGE, exports) as unknown as SqliteModule, host);
		return {
			initialize() {
				(exports.P as () => void)(); // __wasm_call_ctors
				connection.open();
			},
			call: answerNumbered(connection),
			capture: () => packPointers(connection.handle),
			restore(bytes) {
				[connection.handle] = unpackPointers(bytes, 1) as [number];
			},
		};
	},
});
