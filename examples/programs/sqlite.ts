// SQLite (sql.js) as a guest. The database is `:memory:`, so every byte of it lies in the module's memory: the package's own
// Database class would put it into a file of Emscripten's in-memory file system, which is JavaScript's and would not move.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { emscriptenOptions } from "../../bindings/guests/wasm/emscripten.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";

const require = createRequire(import.meta.url);

/** The part of SQLite's C interface that is used here; pointers are numbers. */
interface SqliteModule {
	_malloc(byteLength: number): number;
	_free(pointer: number): void;
	_sqlite3_open(name: number, out: number): number;
	_sqlite3_prepare_v2(db: number, sql: number, byteLength: number, statement: number, tail: number): number;
	_sqlite3_step(statement: number): number;
	_sqlite3_finalize(statement: number): number;
	_sqlite3_column_count(statement: number): number;
	_sqlite3_column_type(statement: number, column: number): number;
	_sqlite3_column_text(statement: number, column: number): number;
	_sqlite3_column_double(statement: number, column: number): number;
	_sqlite3_bind_double(statement: number, parameter: number, value: number): number;
	_sqlite3_bind_text(
		statement: number,
		parameter: number,
		text: number,
		byteLength: number,
		destructor: number,
	): number;
	_sqlite3_errmsg(db: number): number;
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
	readonly memory: () => WebAssembly.Memory;
	/** sqlite3*: the only thing JavaScript holds of the database. */
	handle = 0;

	constructor(sqlite: SqliteModule, memory: () => WebAssembly.Memory) {
		this.#sqlite = sqlite;
		this.memory = memory;
		this.#strings = new CStrings(memory, (byteLength) => sqlite._malloc(byteLength));
	}

	open(): void {
		const name = this.#strings.write(":memory:").pointer;
		const out = this.#sqlite._malloc(4);
		if (this.#sqlite._sqlite3_open(name, out) !== 0) throw new Error("sqlite3_open failed");
		this.handle = this.#strings.word(out);
		this.#sqlite._free(out);
		this.#sqlite._free(name);
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
		return this.#sqlite._malloc(byteLength);
	}

	/** Runs all statements of `sql`. @returns the rows of the last one */
	run(sql: string, parameters: readonly (number | string)[] = []): Value[][] {
		const text = this.#strings.write(sql);
		const out = this.#sqlite._malloc(8);
		let rows: Value[][] = [];
		try {
			for (let at = text.pointer; this.#strings.read(at).trim() !== ""; at = this.#strings.word(out + 4)) {
				this.#check(this.#sqlite._sqlite3_prepare_v2(this.handle, at, -1, out, out + 4));
				const statement = this.#strings.word(out);
				if (statement === 0) continue;
				rows = this.#rows(statement, parameters);
			}
		} finally {
			this.#sqlite._free(out);
			this.#sqlite._free(text.pointer);
		}
		return rows;
	}

	#rows(statement: number, parameters: readonly (number | string)[]): Value[][] {
		const rows: Value[][] = [];
		try {
			parameters.forEach((value, index) => {
				this.#bind(statement, index + 1, value);
			});
			let status = this.#sqlite._sqlite3_step(statement);
			for (; status === ROW; status = this.#sqlite._sqlite3_step(statement)) {
				const columns = this.#sqlite._sqlite3_column_count(statement);
				rows.push(Array.from({ length: columns }, (_, column) => this.#value(statement, column)));
			}
		} finally {
			// Finalizing repeats the error of the step.
			const status = this.#sqlite._sqlite3_finalize(statement);
			this.#check(status);
		}
		return rows;
	}

	#bind(statement: number, parameter: number, value: number | string): void {
		if (typeof value === "number") {
			this.#sqlite._sqlite3_bind_double(statement, parameter, value);
			return;
		}
		const { pointer, byteLength } = this.#strings.write(value);
		this.#sqlite._sqlite3_bind_text(statement, parameter, pointer, byteLength, TRANSIENT);
		this.#sqlite._free(pointer);
	}

	#value(statement: number, column: number): Value {
		switch (this.#sqlite._sqlite3_column_type(statement, column)) {
			case INTEGER:
			case FLOAT:
				return this.#sqlite._sqlite3_column_double(statement, column);
			case NULL:
				return null;
			default:
				return this.#strings.read(this.#sqlite._sqlite3_column_text(statement, column));
		}
	}

	#check(status: number): void {
		if (status !== 0) throw new Error(this.#strings.read(this.#sqlite._sqlite3_errmsg(this.handle)));
	}
}

/** The package keeps one instance for all callers; a guest that is started again needs another. */
function freshGlue(): (options: object) => Promise<SqliteModule> {
	delete require.cache[require.resolve("sql.js")];
	return require("sql.js");
}

export default defineProgram({
	name: "sqlite",
	version: "1",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: true,
	moduleBytes: () => readFile(require.resolve("sql.js/dist/sql-wasm.wasm")),
	async start(context) {
		const options = emscriptenOptions(context);
		const sqlite = await Promise.race([freshGlue()(options), options.failed]);
		const connection = new Connection(sqlite, context.memory);
		return {
			initialize: () => connection.open(),
			call: answerNumbered(connection),
			capture: () => packPointers(connection.handle),
			restore(bytes) {
				[connection.handle] = unpackPointers(bytes, 1) as [number];
			},
		};
	},
});
