// Third-party programs behind their own glue: work, move memory and state to a second instance, and go on there.

import { newQuickJSWASMModuleFromVariant, newVariant, type QuickJSContext, RELEASE_SYNC } from "quickjs-emscripten";
import type { Database } from "sql.js";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type LuaEngine, LuaFactory } from "wasmoon";
import { captureInstance, restoreInstance } from "../../bindings/guests/wasm/instance-state.ts";
import { decodeInstanceState, encodeInstanceState } from "../../bindings/guests/wasm/instance-state-format.ts";
import { EXPOSED } from "../../bindings/guests/wasm/module/expose.ts";
import type { ModuleLayout } from "../../bindings/guests/wasm/module/layout.ts";
import { rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import { freshSqlite, installedModules, PROGRAM_NAMES, programBytes, withRewriting } from "../wasm/programs.ts";

const test = suite("wasm programs moved");

interface Running<T> {
	readonly program: T;
	readonly exports: WebAssembly.Exports;
	readonly layout: ModuleLayout;
}

async function start<T>(setUp: () => Promise<T>, minimumMemoryPages = 0): Promise<Running<T>> {
	let layout: ModuleLayout | undefined;
	const { program, made } = await withRewriting((bytes) => {
		const rewritten = rewriteModule(bytes, { minimumMemoryPages });
		layout = rewritten.layout;
		return rewritten.bytes;
	}, setUp);
	return { program, exports: made.instance.exports, layout: layout! };
}

function memoryOf({ exports }: Running<unknown>): Uint8Array {
	return new Uint8Array((exports[EXPOSED.memory] as WebAssembly.Memory).buffer);
}

/** @returns the first place where two memories differ, or -1 */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
	if (a.length !== b.length) return Math.min(a.length, b.length);
	for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i;
	return -1;
}

/** @returns a second program, in a memory as large as the first one has grown to, holding the first one's state */
async function move<T>(source: Running<T>, setUp: () => Promise<T>): Promise<Running<T>> {
	const memory = memoryOf(source).slice();
	const state = encodeInstanceState(captureInstance(source.exports, source.layout));
	const target = await start(setUp, memory.length / 65536);
	assert.is(memoryOf(target).length, memory.length);
	assert.ok(firstDifference(memoryOf(target), memory) >= 0, "the target starts out different");
	memoryOf(target).set(memory);
	restoreInstance(target.exports, target.layout, decodeInstanceState(state, target.layout));
	return target;
}

test("every installed module is rewritten into a valid one with the same imports and its own exports", () => {
	const modules = installedModules();
	assert.ok(modules.length >= PROGRAM_NAMES.length);
	let guests = 0;
	for (const { path, bytes } of modules) {
		const original = new WebAssembly.Module(bytes);
		let rewritten: WebAssembly.Module;
		try {
			rewritten = new WebAssembly.Module(Uint8Array.from(rewriteModule(bytes).bytes));
		} catch (error) {
			assert.ok(!PROGRAM_NAMES.some((name) => programBytes(name).length === bytes.length), `${path}: ${error}`);
			continue;
		}
		guests++;
		assert.equal(WebAssembly.Module.imports(rewritten), WebAssembly.Module.imports(original), path);
		const exports = WebAssembly.Module.exports(original);
		assert.equal(WebAssembly.Module.exports(rewritten).slice(0, exports.length), exports, path);
	}
	assert.ok(guests >= PROGRAM_NAMES.length, `${guests} modules can be guests`);
});

test("SQLite goes on with the rows it had, in its own heap", async () => {
	const setUp = async (): Promise<Database> => {
		const { Database } = await freshSqlite();
		const database = new Database();
		// The file system of the glue is host state; a database in memory lives in the guest's heap.
		database.run("attach ':memory:' as heap");
		return database;
	};
	const source = await start(setUp);
	source.program.run("create table heap.t(id integer primary key, text)");
	for (let i = 0; i < 400; i++) source.program.run("insert into heap.t values(?, ?)", [i, "row".repeat(i % 97)]);
	source.program.run("begin");
	source.program.run("delete from heap.t where id % 3 = 0");
	const target = await move(source, setUp);
	Object.assign(target.program, { db: Reflect.get(source.program, "db") });
	const work = ({ program }: Running<Database>) => {
		program.run("insert into heap.t select id + 1000, text || id from heap.t");
		program.run("rollback");
		program.run("create index heap.byText on t(text)");
		return program.exec("select count(*), sum(length(text)), max(text) from heap.t where id > 7")[0]!.values;
	};
	const undisturbed = work(source);
	assert.equal(work(target), undisturbed);
	assert.is(undisturbed[0]![0], 392);
	assert.is(firstDifference(memoryOf(target), memoryOf(source)), -1);
});

test("QuickJS goes on with the objects and closures it had", async () => {
	const setUp = async (): Promise<QuickJSContext> => {
		const quickjs = await newQuickJSWASMModuleFromVariant(newVariant(RELEASE_SYNC, {}));
		return quickjs.newContext();
	};
	const evaluate = ({ program }: Running<QuickJSContext>, code: string) => {
		const handle = program.unwrapResult(program.evalCode(code));
		const value = program.dump(handle);
		handle.dispose();
		return value;
	};
	const source = await start(setUp);
	evaluate(source, "const rows = []; for (let i = 0; i < 4000; i++) rows.push({ i, key: 'k' + (i * 7919) % 4001 })");
	evaluate(
		source,
		"function* numbers() { for (let n = 1; ; n++) yield n } const it = numbers(); it.next(); it.next(); 1",
	);
	const target = await move(source, setUp);
	const work = "rows.sort((a, b) => a.key < b.key ? -1 : 1); JSON.stringify([rows.slice(5, 9), it.next().value])";
	const undisturbed = evaluate(source, work);
	assert.is(evaluate(target, work), undisturbed);
	assert.match(undisturbed, /,3\]$/);
	assert.is(firstDifference(memoryOf(target), memoryOf(source)), -1);
});

test("Lua goes on with the tables and coroutines it had", async () => {
	const setUp = (): Promise<LuaEngine> => new LuaFactory().createEngine({ injectObjects: false });
	const source = await start(setUp);
	source.program.doStringSync(
		"T = {} for i = 1, 20000 do T[i] = { v = (i * 7919) % 20011, s = string.rep('row', 300) .. i } end",
	);
	source.program.doStringSync(
		"C = coroutine.wrap(function() local n = 0 while true do n = n + 1 coroutine.yield(n) end end) C()",
	);
	assert.ok(memoryOf(source).length > source.layout.memory.minimumPages * 65536, "the memory has grown");
	const target = await move(source, setUp);
	// Handles that the glue keeps outside the memory travel beside it.
	Object.assign(target.program.global, { address: source.program.global.address });
	const work = ({ program }: Running<LuaEngine>) =>
		program.doStringSync(`table.sort(T, function(a, b) return a.v < b.v end)
			local h = 0 for i = 1, #T do h = (h * 31 + T[i].v + #T[i].s) % 1000000007 end return h .. ' ' .. C()`);
	const undisturbed = work(source);
	assert.is(work(target), undisturbed);
	assert.match(undisturbed, /^\d+ 2$/);
	assert.is(firstDifference(memoryOf(target), memoryOf(source)), -1);
});

test.run();
