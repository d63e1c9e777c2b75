// Third-party programs behind their own glue, whose code can be changed for another variant at any call boundary. The
// glue gets a facade: functions that call whichever instance runs, and tables that give out such functions.
import { newQuickJSWASMModuleFromVariant, newVariant, RELEASE_SYNC } from "quickjs-emscripten";
import { LuaFactory } from "wasmoon";
import { captureInstance, prepareInstance, restoreInstance } from "../../bindings/guests/wasm/instance-state.ts";
import { attachImports } from "../../bindings/guests/wasm/module/attach.ts";
import { EXPOSED } from "../../bindings/guests/wasm/module/expose.ts";
import type { ModuleLayout } from "../../bindings/guests/wasm/module/layout.ts";
import { type RewriteOptions, rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import { freshSqlite, freshZstd, withRewriting } from "./programs.ts";

/** Told of every crossing between guest and host. */
export interface Crossings {
	enterGuest(): void;
	leaveGuest(): void;
}

/** One program's instance, or the one that has taken over from it. */
export class LiveInstance {
	readonly layout: ModuleLayout;
	readonly module: Uint8Array;
	readonly #imports: WebAssembly.Imports;
	#exports: WebAssembly.Exports;
	crossings: Crossings | null = null;

	constructor(module: Uint8Array, layout: ModuleLayout, exports: WebAssembly.Exports, imports: WebAssembly.Imports) {
		this.module = module;
		this.layout = layout;
		this.#exports = exports;
		this.#imports = imports;
	}

	get exports(): WebAssembly.Exports {
		return this.#exports;
	}

	get memory(): Uint8Array {
		return new Uint8Array((this.#exports[EXPOSED.memory] as WebAssembly.Memory).buffer);
	}

	/** Makes an instance that can take over; `takeOver` then costs no compiling. */
	prepare(options: RewriteOptions): WebAssembly.Exports {
		const { bytes } = rewriteModule(this.module, { ...options, attach: true });
		const imports = { ...this.#imports, ...attachImports(this.#exports, this.layout) };
		const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), imports);
		prepareInstance(exports, this.layout);
		return exports;
	}

	/** At a call boundary: from now on the prepared instance runs. */
	takeOver(exports: WebAssembly.Exports): void {
		restoreInstance(exports, this.layout, captureInstance(this.#exports, this.layout));
		this.#exports = exports;
	}

	/** What the glue is given instead of the instance's exports. */
	facade(): WebAssembly.Exports {
		const facade: Record<string, WebAssembly.ExportValue> = {};
		for (const [name, value] of Object.entries(this.#exports))
			if (typeof value === "function")
				facade[name] = (...values: unknown[]) => this.#enter(this.#exports[name] as CallableFunction, values);
			else facade[name] = value instanceof WebAssembly.Table ? this.#tableFacade(name) : value;
		return facade;
	}

	#enter(call: CallableFunction, values: readonly unknown[]): unknown {
		const { crossings } = this;
		crossings?.enterGuest();
		try {
			return call(...values);
		} finally {
			crossings?.leaveGuest();
		}
	}

	#tableFacade(name: string): WebAssembly.Table {
		const table = this.#exports[name] as WebAssembly.Table;
		const trampolines = new Map<number, CallableFunction>();
		const get = (slot: number) => {
			if (table.get(slot) === null) return null;
			const known = trampolines.get(slot) ?? ((...values: unknown[]) => this.#enter(table.get(slot), values));
			trampolines.set(slot, known);
			return known;
		};
		const facade = {
			get,
			set: (slot: number, value: unknown) => table.set(slot, value),
			grow: (count: number) => table.grow(count),
			get length() {
				return table.length;
			},
		};
		return facade as WebAssembly.Table;
	}
}

export interface LiveProgram {
	readonly live: LiveInstance;
	/** Work in which the host never looks at the guest's memory. @returns a number that tells whether it was done right */
	readonly work: () => number;
	/** Work full of calls between guest and host, which exchange data through memory. */
	readonly chat: () => void;
}

async function startLive<T>(
	setUp: () => Promise<T>,
	options: RewriteOptions,
): Promise<{ program: T; live: LiveInstance }> {
	let live: LiveInstance | undefined;
	let layout: ModuleLayout | undefined;
	const rewrite = (bytes: Uint8Array) => {
		const rewritten = rewriteModule(bytes, options);
		layout = rewritten.layout;
		return rewritten.bytes;
	};
	const withCrossings = (imports: WebAssembly.Imports) => {
		for (const names of Object.values(imports))
			for (const [name, value] of Object.entries(names))
				if (typeof value === "function")
					names[name] = (...values: unknown[]) => {
						const crossings = live?.crossings;
						crossings?.leaveGuest();
						try {
							return value(...values);
						} finally {
							crossings?.enterGuest();
						}
					};
		return imports;
	};
	const { program } = await withRewriting(
		rewrite,
		setUp,
		({ instance, imports, module }) => {
			live = new LiveInstance(module, layout!, instance.exports, imports);
			return live.facade();
		},
		withCrossings,
	);
	return { program, live: live! };
}

async function sqlite(options: RewriteOptions): Promise<LiveProgram> {
	const { program: sql, live } = await startLive(freshSqlite, options);
	const database = new sql.Database();
	database.run("attach ':memory:' as heap");
	database.run("create table heap.t(id integer primary key, text)");
	for (let i = 0; i < 3000; i++)
		database.run("insert into heap.t values(?, ?)", [i, `row ${(i * 7919) % 3001} `.repeat(9)]);
	const statements = [
		"update heap.t set text = text || id where id % 7 = 0",
		"select sum(length(a.text) * (b.id % 13)) from heap.t a join heap.t b on b.id = (a.id * 31) % 3001 order by 1",
		"select count(*) from (select text from heap.t order by substr(text, 3, 40) desc limit 2000)",
	].map((text) => Number(Object.values(database.prepare(text))[0]));
	const step = Reflect.get(sql, "_sqlite3_step") as (statement: number) => number;
	const reset = Reflect.get(sql, "_sqlite3_reset") as (statement: number) => number;
	const column = Reflect.get(sql, "_sqlite3_column_double") as (statement: number, index: number) => number;
	const work = () => {
		let sum = 0;
		for (const statement of statements) {
			if (step(statement) === 100) sum += column(statement, 0);
			reset(statement);
		}
		return sum;
	};
	const chat = () => {
		database.run("create table heap.u(id integer primary key, text)");
		for (let i = 0; i < 60; i++) database.run("insert into heap.u values(?, ?)", [i, "x".repeat(i * 37)]);
		database.exec("select text from heap.u order by length(text) % 7");
		database.run("create index heap.byText on u(text)");
		database.run("delete from heap.u where id % 3 = 0");
		database.run("drop table heap.u");
	};
	return { live, work, chat };
}

async function quickjs(options: RewriteOptions): Promise<LiveProgram> {
	const setUp = () => newQuickJSWASMModuleFromVariant(newVariant(RELEASE_SYNC, {}));
	const { program, live } = await startLive(setUp, options);
	const context = program.newContext();
	const evaluate = (code: string) => context.unwrapResult(context.evalCode(code));
	evaluate("const rows = []; for (let i = 0; i < 8000; i++) rows.push({ i, key: 'k' + (i * 7919) % 8009 })").dispose();
	const workload = evaluate(`(() => { rows.sort((a, b) => (a.key < b.key ? -1 : 1) * (rows.flip ? 1 : -1));
		rows.flip = !rows.flip; let h = 0;
		for (const { i, key } of rows) h = (h * 31 + i + key.length) % 1000000007;
		rows[h % rows.length].key += 'x'; return h })`);
	const work = () => {
		const result = context.unwrapResult(context.callFunction(workload, context.undefined));
		const value = context.getNumber(result);
		result.dispose();
		return value;
	};
	const chat = () => {
		for (let i = 0; i < 30; i++) {
			const result = evaluate(`rows.push({ i: ${i}, key: 'chat' + rows.length }); JSON.stringify(rows.slice(-50))`);
			context.dump(result);
			result.dispose();
		}
	};
	return { live, work, chat };
}

async function lua(options: RewriteOptions): Promise<LiveProgram> {
	const setUp = () => new LuaFactory().createEngine({ injectObjects: false });
	const { program, live } = await startLive(setUp, options);
	program.doStringSync(`T = {} for i = 1, 20000 do T[i] = { v = (i * 7919) % 20011, s = 'row' .. i } end
		function WORK() FLIP = not FLIP
			table.sort(T, function(a, b) if FLIP then return a.v < b.v else return a.v > b.v end end)
			local h = 0 for i = 1, #T do h = (h * 31 + T[i].v + #T[i].s) % 1000000007 end
			T[h % #T + 1].s = T[h % #T + 1].s .. 'x' return h end`);
	const { address } = program.global;
	program.global.loadString("return WORK()");
	const workload = program.global.getTop();
	const call = (name: string, ...values: number[]): number => (live.exports[name] as CallableFunction)(...values);
	const work = () => {
		call("lua_pushvalue", address, workload);
		if (call("lua_pcallk", address, 0, 1, 0, 0, 0) !== 0) throw new Error("the Lua workload failed");
		const value = call("lua_tonumberx", address, -1, 0);
		call("lua_settop", address, -2);
		return value;
	};
	const chat = () => {
		for (let i = 0; i < 40; i++)
			program.doStringSync(`U = U or {} for i = 1, 200 do U[#U + 1] = { i = i, s = 'r' .. i } end
				table.sort(U, function(a, b) return a.i < b.i end) return #U .. 'rows'`);
	};
	return { live, work, chat };
}

async function zstd(options: RewriteOptions): Promise<LiveProgram> {
	const { program, live } = await startLive(freshZstd, options);
	const room = 700_000;
	const [text, packed, unpacked] = [program._malloc(room), program._malloc(room), program._malloc(room)];
	for (let i = 0, word = 1; i < 400_000; i++) {
		if (i % 7 === 0) word = (Math.imul(word, 1103515245) + 12345) >>> 0;
		program.HEAPU8[text + i] = 97 + ((word >>> (i % 5)) % 23);
	}
	let level = 0;
	const work = () => {
		level = (level % 9) + 1;
		const byteLength = program._ZSTD_compress(packed, room, text, 400_000, level);
		return byteLength + program._ZSTD_decompress(unpacked, room, packed, byteLength);
	};
	const chat = () => {
		for (let i = 0; i < 150; i++) {
			program.HEAPU8.fill(i, unpacked, unpacked + 100);
			program._ZSTD_compress(packed, room, text + 50 * i, 40_000, (i % 7) + 1);
		}
	};
	return { live, work, chat };
}

export const LIVE_PROGRAMS: Readonly<
	Record<"sqlite" | "quickjs" | "lua" | "zstd", (options: RewriteOptions) => Promise<LiveProgram>>
> = { sqlite, quickjs, lua, zstd };
