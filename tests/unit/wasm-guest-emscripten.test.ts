import { suite } from "uvu";
import * as assert from "uvu/assert";
import { emscriptenOptions, interceptInstantiation } from "../../bindings/guests/wasm/emscripten.ts";
import { HostAccess, UNWATCHED } from "../../bindings/guests/wasm/host-access.ts";
import { checkProgram, defineProgram, programOf, type StartContext } from "../../bindings/guests/wasm/program.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

const test = suite("wasm guest: programs and glue");

const guestInstance = { exports: { isGuest: true } } as unknown as WebAssembly.Instance;

const notHere = (): never => {
	throw new TypeError("not here");
};

function context(minimumMemoryPages = 0, fail?: Error): StartContext & { imports: WebAssembly.Imports[] } {
	const imports: WebAssembly.Imports[] = [];
	return {
		imports,
		moduleBytes: new Uint8Array(0),
		minimumMemoryPages,
		memory: notHere,
		emit: notHere,
		host: new HostAccess(notHere, () => UNWATCHED),
		async instantiate(given) {
			if (fail !== undefined) throw fail;
			imports.push(given);
			return guestInstance;
		},
	};
}

test("options for glue instantiate the guest, and give the memory the source's size", async () => {
	const start = context(300);
	const options = emscriptenOptions(start);
	const imports = { a: {} };
	const received = new Promise((resolve) => assert.equal(options.instantiateWasm(imports, resolve), {}));
	assert.is(await received, guestInstance);
	assert.equal(start.imports, [imports]);
	assert.is(options.INITIAL_MEMORY, 300 * 65536);
	assert.is(emscriptenOptions(context()).INITIAL_MEMORY, undefined);
});

test("an instantiation that fails is told by the options, not only by the glue", async () => {
	const options = emscriptenOptions(context(0, new Error("refused")));
	options.instantiateWasm({}, () => assert.unreachable());
	assert.is(await options.failed.catch((error: Error) => error.message), "refused");
});

test("while it is intercepted, the first instantiation is the guest's and memories begin with the source's size", async () => {
	const before = { ...Object.getOwnPropertyDescriptors(WebAssembly) };
	const start = context(3);
	const bytes = scratchModule("own");
	const result = await interceptInstantiation(start, async () => {
		const first = (await WebAssembly.instantiate(bytes, {})) as unknown as { instance: WebAssembly.Instance };
		const second = await WebAssembly.instantiate(bytes, {});
		const memory = new WebAssembly.Memory({ initial: 1, maximum: 9 });
		return { first, second, memory };
	});
	assert.is(result.first.instance, guestInstance);
	assert.is(typeof result.second.instance.exports.count, "function");
	assert.is(result.memory.buffer.byteLength, 3 * 65536);
	assert.instance(result.memory, WebAssembly.Memory);
	for (const name of ["instantiate", "instantiateStreaming", "Memory"])
		assert.is((WebAssembly as unknown as Record<string, unknown>)[name], before[name]?.value, name);
	assert.is(start.imports.length, 1);
});

test("a compiled module and a stream are taken over likewise, and what fails inside leaves nothing replaced", async () => {
	const module = new WebAssembly.Module(scratchModule("own"));
	assert.is(await interceptInstantiation(context(), () => WebAssembly.instantiate(module, {})), guestInstance);
	const streamed = await interceptInstantiation(context(), () =>
		WebAssembly.instantiateStreaming(Promise.resolve(new Response("nothing")), {}),
	);
	assert.is(streamed.instance, guestInstance);
	const original = WebAssembly.instantiate;
	const failing = interceptInstantiation(context(), () => Promise.reject(new Error("no glue")));
	assert.is(await failing.catch((error: Error) => error.message), "no glue");
	assert.is(WebAssembly.instantiate, original);
});

test("a program's shape is checked, field by field", () => {
	const program = {
		name: "p",
		version: "1",
		policy: { clock: "none", random: "none" },
		keepsMemoryViews: false,
		start: () => ({ call: () => 1 }),
	} as const;
	assert.is(defineProgram(program), program);
	for (const [field, value] of Object.entries({
		name: "",
		version: 1,
		policy: { clock: "sometimes", random: "none" },
		keepsMemoryViews: undefined,
		moduleBytes: new Uint8Array(0),
		start: undefined,
	}))
		assert.throws(() => checkProgram({ ...program, [field]: value }), new RegExp(`program.${field}`));
	assert.throws(() => checkProgram({ ...program, policy: { clock: "none", random: "dice" } }), /random/);
	assert.throws(() => checkProgram(undefined), TypeError);
	assert.throws(() => programOf({}, "https://here/x.js"), /https:..here.x.js has no program/);
	assert.is(programOf({ default: program }, "https://here/x.js"), program);
});

test.run();
