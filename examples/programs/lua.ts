// Lua (wasmoon) as a guest: the module of the package without its glue, through Lua's C interface.
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import type { HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { wasiImports } from "../../bindings/guests/wasm/wasi.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";
import { letteredImports, moduleBytesOf, type PackageModule } from "./package-module.ts";

const PACKAGE: PackageModule = {
	name: "wasmoon",
	version: "1.16.0",
	module: "dist/glue.wasm",
	glue: "dist/index.js",
};

/** Imports of this module are not minified. What is left out here answers as if there were no files. */
const ENV = [
	...["abort", "strftime", "system", "exit", "emscripten_date_now", "_emscripten_get_now_is_monotonic", "_mktime_js"],
	...["__syscall_openat", "__syscall_fcntl64", "__syscall_ioctl", "__syscall_dup3", "__syscall_unlinkat"],
	...["__syscall_rmdir", "__syscall_renameat", "__syscall_readlinkat", "_localtime_js", "_gmtime_js", "_tzset_js"],
	...["emscripten_resize_heap", "_emscripten_throw_longjmp"],
];

/** The part of Lua's C interface that is used here; pointers are numbers. */
interface LuaModule {
	malloc(byteLength: number): number;
	free(pointer: number): void;
	luaL_newstate(): number;
	luaL_openlibs(state: number): void;
	luaL_loadstring(state: number, source: number): number;
	lua_getglobal(state: number, name: number): number;
	lua_pushnumber(state: number, value: number): void;
	lua_pushstring(state: number, text: number): number;
	lua_pcallk(state: number, args: number, results: number, handler: number, context: number, next: number): number;
	lua_tolstring(state: number, index: number, byteLength: number): number;
	lua_settop(state: number, index: number): void;
	__wasm_call_ctors(): void;
	stackSave(): number;
	stackRestore(pointer: number): void;
	setThrew(threw: number, value: number): void;
	readonly __indirect_function_table: WebAssembly.Table;
}

/** Runs inside the guest. What requests keep belongs into `data`; the order of `pairs` differs between runs. */
const GUEST_SIDE = `
data = {}
local answered, count = {}, 0
local tostring, type, load, pcall, pairs, sort, concat = tostring, type, load, pcall, pairs, table.sort, table.concat
local function text(value)
	if type(value) ~= "table" then return type(value) .. ":" .. tostring(value) end
	local parts = {}
	for key, part in pairs(value) do parts[#parts + 1] = text(key) .. "=" .. text(part) end
	sort(parts)
	return "{" .. concat(parts, ",") .. "}"
end
function answer(number, source)
	local known = answered[number]
	if known then return known end
	local chunk, message = load(source)
	local ok, value = false, message
	if chunk then ok, value = pcall(chunk) end
	known = ok and text(value) or "error: " .. tostring(value)
	answered[number] = known
	return known
end
function dump() return text(data) .. text(answered) end
`;

class LuaState implements Interpreter {
	readonly #lua: LuaModule;
	readonly #strings: CStrings;
	readonly host: HostAccess;
	/** lua_State*. */
	state = 0;

	constructor(lua: LuaModule, host: HostAccess) {
		this.#lua = lua;
		this.host = host;
		this.#strings = new CStrings(host, (byteLength) => lua.malloc(byteLength));
	}

	open(): void {
		this.state = this.#lua.luaL_newstate();
		this.#lua.luaL_openlibs(this.state);
		this.#check(this.#withText(GUEST_SIDE, (source) => this.#lua.luaL_loadstring(this.state, source)));
		this.#check(this.#lua.lua_pcallk(this.state, 0, 0, 0, 0, 0));
	}

	answer(number: number, source: string): string {
		this.#global("answer");
		this.#lua.lua_pushnumber(this.state, number);
		this.#withText(source, (text) => this.#lua.lua_pushstring(this.state, text));
		return this.#call(2);
	}

	dump(): string {
		this.#global("dump");
		return this.#call(0);
	}

	allocate(byteLength: number): number {
		return this.#lua.malloc(byteLength);
	}

	#global(name: string): void {
		this.#withText(name, (text) => this.#lua.lua_getglobal(this.state, text));
	}

	/** By the heap: the module's stack has 64 KiB. */
	#withText(text: string, use: (pointer: number) => number): number {
		const { pointer } = this.#strings.write(text);
		const result = use(pointer);
		this.#lua.free(pointer);
		return result;
	}

	#call(args: number): string {
		this.#check(this.#lua.lua_pcallk(this.state, args, 1, 0, 0, 0));
		return this.#pop();
	}

	#pop(): string {
		const result = this.#strings.read(this.#lua.lua_tolstring(this.state, -1, 0));
		this.#lua.lua_settop(this.state, 0);
		return result;
	}

	#check(status: number): void {
		if (status !== 0) throw new Error(this.#pop());
	}
}

export default defineProgram({
	name: "lua",
	version: "2",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => moduleBytesOf(PACKAGE),
	async start({ host, instantiate }) {
		let lua: LuaModule | undefined;
		const calls = () => ({
			table: lua!.__indirect_function_table,
			stackSave: () => lua!.stackSave(),
			stackRestore: (pointer: number) => lua!.stackRestore(pointer),
			setThrew: (threw: number, value: number) => lua!.setThrew(threw, value),
		});
		const functions = emscriptenEnv({ host, exports: calls, now: Date.now });
		const env = letteredImports(Object.fromEntries(ENV.map((name) => [name, name])), functions);
		const wasi = wasiImports({ host }) as unknown as WebAssembly.ModuleImports;
		const { exports } = await instantiate({
			env: { ...env, invoke_vii: functions.invoke as WebAssembly.ImportValue },
			wasi_snapshot_preview1: wasi,
		});
		lua = exports as unknown as LuaModule;
		const guest = new LuaState(lua, host);
		return {
			initialize() {
				lua?.__wasm_call_ctors();
				guest.open();
			},
			call: answerNumbered(guest),
			capture: () => packPointers(guest.state),
			restore(bytes) {
				[guest.state] = unpackPointers(bytes, 1) as [number];
			},
		};
	},
});
