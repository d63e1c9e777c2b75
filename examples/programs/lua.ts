// Lua (wasmoon) as a guest, through the C interface that the package shows: its own engine object would register functions
// of JavaScript in Lua, which hold state outside the module.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { LuaFactory } from "wasmoon";
import { interceptInstantiation } from "../../bindings/guests/wasm/emscripten.ts";
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { answerNumbered, CStrings, type Interpreter, packPointers, unpackPointers } from "./numbered.ts";

const require = createRequire(import.meta.url);

/** The part of Lua's C interface that is used here; pointers are numbers. */
interface LuaModule {
	readonly module: { _malloc(byteLength: number): number; _free(pointer: number): void };
	luaL_newstate(): number;
	luaL_openlibs(state: number): void;
	luaL_loadstring(state: number, source: string): number;
	lua_getglobal(state: number, name: string): number;
	lua_pushnumber(state: number, value: number): void;
	lua_pushstring(state: number, text: number): unknown;
	lua_pcallk(state: number, args: number, results: number, handler: number, context: number, next: null): number;
	lua_tolstring(state: number, index: number, length: null): string;
	lua_settop(state: number, index: number): void;
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
	readonly memory: () => WebAssembly.Memory;
	/** lua_State*. */
	state = 0;

	constructor(lua: LuaModule, memory: () => WebAssembly.Memory) {
		this.#lua = lua;
		this.memory = memory;
		this.#strings = new CStrings(memory, (byteLength) => lua.module._malloc(byteLength));
	}

	open(): void {
		this.state = this.#lua.luaL_newstate();
		this.#lua.luaL_openlibs(this.state);
		this.#check(this.#lua.luaL_loadstring(this.state, GUEST_SIDE));
		this.#check(this.#lua.lua_pcallk(this.state, 0, 0, 0, 0, null));
	}

	answer(number: number, source: string): string {
		// By the heap: the glue would put the text on the module's stack, which is 64 KiB.
		const { pointer } = this.#strings.write(source);
		this.#lua.lua_getglobal(this.state, "answer");
		this.#lua.lua_pushnumber(this.state, number);
		this.#lua.lua_pushstring(this.state, pointer);
		this.#lua.module._free(pointer);
		return this.#call(2);
	}

	dump(): string {
		this.#lua.lua_getglobal(this.state, "dump");
		return this.#call(0);
	}

	allocate(byteLength: number): number {
		return this.#lua.module._malloc(byteLength);
	}

	#call(args: number): string {
		this.#check(this.#lua.lua_pcallk(this.state, args, 1, 0, 0, null));
		const result = this.#lua.lua_tolstring(this.state, -1, null);
		this.#lua.lua_settop(this.state, 0);
		return result;
	}

	#check(status: number): void {
		if (status === 0) return;
		const message = this.#lua.lua_tolstring(this.state, -1, null);
		this.#lua.lua_settop(this.state, 0);
		throw new Error(message);
	}
}

/** The glue reads this file before it instantiates what it is given instead. */
const MODULE_FILE = require.resolve("wasmoon/dist/glue.wasm");

export default defineProgram({
	name: "lua",
	version: "1",
	policy: { clock: "host", random: "seeded" },
	keepsMemoryViews: true,
	moduleBytes: () => readFile(MODULE_FILE),
	async start(context) {
		const lua = await interceptInstantiation(context, () => new LuaFactory(MODULE_FILE).getLuaModule());
		const guest = new LuaState(lua as unknown as LuaModule, context.memory);
		return {
			initialize: () => guest.open(),
			call: answerNumbered(guest),
			capture: () => packPointers(guest.state),
			restore(bytes) {
				[guest.state] = unpackPointers(bytes, 1) as [number];
			},
		};
	},
});
