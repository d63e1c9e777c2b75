// Host access, the imports that say what they touch, WASI and Emscripten's library: over a memory whose watch keeps a list.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { emscriptenEnv } from "../../bindings/guests/wasm/emscripten-env.ts";
import { declareImports, HostAccess } from "../../bindings/guests/wasm/host-access.ts";
import { WasiExit, type WasiOptions, wasiImports } from "../../bindings/guests/wasm/wasi.ts";

const test = suite("wasm guest: host access");

interface Watched {
	readonly host: HostAccess;
	readonly memory: WebAssembly.Memory;
	readonly touched: string[];
	readonly written: string[];
}

function watched(): Watched {
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
	const touched: string[] = [];
	const written: string[] = [];
	const watch = {
		touch: (pointer: number, byteLength: number) => void touched.push(`${pointer}+${byteLength}`),
		wrote: (pointer: number, byteLength: number) => void written.push(`${pointer}+${byteLength}`),
	};
	const host = new HostAccess(
		() => memory,
		() => watch,
	);
	return { host, memory, touched, written };
}

test("each access touches just what it names before it, and says what it has written", () => {
	const { host, touched, written } = watched();
	host.write(100, Uint8Array.of(1, 2, 3));
	assert.equal(host.read(99, 5), Uint8Array.of(0, 1, 2, 3, 0));
	host.writeWord(200, -2);
	assert.is(host.readWord(200), 0xffff_fffe);
	host.writeLong(208, 2n ** 63n);
	host.fill(300, 4, 7);
	host.touch(400, 10);
	host.wrote(401, 2);
	assert.equal(touched, ["100+3", "99+5", "200+4", "200+4", "208+8", "300+4", "400+10", "401+2"]);
	assert.equal(written, ["100+3", "200+4", "208+8", "300+4", "401+2"]);
});

test("a text is touched page by page up to its end", () => {
	const { host, touched } = watched();
	host.write(4090, host.encodeText("zehn Zeichen"));
	touched.length = 0;
	assert.is(host.readText(4090), "zehn Zeichen");
	assert.equal(touched, ["4090+6", "4096+4096", "4090+12"]);
	assert.is(host.readText(4090, 4), "zehn");
	host.fill(60_000, 5536, 1);
	assert.throws(() => host.readText(60_000), RangeError);
});

test("what lies beyond the memory is refused before anything happens", () => {
	const { host, written } = watched();
	for (const work of [
		() => host.read(65_535, 2),
		() => host.write(65_536, Uint8Array.of(1)),
		() => host.read(-1, 1),
		() => host.read(0, -1),
		() => host.read(0.5, 1),
	])
		assert.throws(work, RangeError);
	assert.equal(written, []);
	assert.equal(host.read(65_536, 0).length, 0);
});

test("the memory grows as far as its maximum", () => {
	const { host } = watched();
	assert.ok(host.grow(100));
	assert.is(host.byteLength, 65_536);
	assert.ok(host.grow(65_537));
	assert.is(host.byteLength, 131_072);
	assert.not(host.grow(65_536 * 5));
});

test("imports with descriptors have their ranges before they run, and mark what they write", () => {
	const { host, memory, touched, written } = watched();
	const functions = {
		fill: (pointer: number, byteLength: number) => {
			assert.equal(touched, [`${pointer}+${byteLength}`], "touched before");
			new Uint8Array(memory.buffer, pointer, byteLength).fill(9);
			return 5;
		},
		plain: (value: number) => value + 1,
	};
	const declared = declareImports(host, functions, {
		fill: [{ pointer: 0, byteLength: { argument: 1 }, writes: true }],
	});
	assert.is((declared.fill as typeof functions.fill)(50, 4), 5);
	assert.equal(written, ["50+4"]);
	assert.is((declared.plain as typeof functions.plain)(1), 2);
	const fixed = declareImports(host, { stat: () => 0 }, { stat: [{ pointer: 1, byteLength: 24 }] });
	touched.length = 0;
	(fixed.stat as (...values: number[]) => number)(7, 128);
	assert.equal(touched, ["128+24"]);
});

test("a descriptor without its import is a mistake", () => {
	const { host } = watched();
	assert.throws(() => declareImports(host, {}, { read: [{ pointer: 0, byteLength: 1 }] }), /no import read/);
});

type Wasi = Readonly<Record<string, (...values: (number | bigint)[]) => number>>;

function wasiOf(options: Omit<WasiOptions, "host">): Watched & { readonly wasi: Wasi } {
	const scene = watched();
	return { ...scene, wasi: wasiImports({ ...options, host: scene.host }) as unknown as Wasi };
}

test("WASI: arguments and environment", () => {
	const { wasi, host } = wasiOf({ args: ["program", "übung"], env: { A: "1" } });
	assert.is(wasi.args_sizes_get!(0, 4), 0);
	assert.equal([host.readWord(0), host.readWord(4)], [2, 15]);
	assert.is(wasi.args_get!(16, 100), 0);
	assert.equal([host.readText(host.readWord(16)), host.readText(host.readWord(20))], ["program", "übung"]);
	wasi.environ_sizes_get!(0, 4);
	assert.equal([host.readWord(0), host.readWord(4)], [1, 4]);
	wasi.environ_get!(16, 100);
	assert.is(host.readText(host.readWord(16)), "A=1");
});

test("WASI: streams take and give by vectors; other descriptors are none", () => {
	const out: string[] = [];
	const { wasi, host, touched } = wasiOf({
		write: (descriptor, bytes) => void out.push(`${descriptor}:${new TextDecoder().decode(bytes)}`),
		read: (byteLength) => Uint8Array.from({ length: Math.min(byteLength, 3) }, (_, i) => 65 + i),
	});
	host.write(1000, new TextEncoder().encode("hello world"));
	for (const [i, word] of [1000, 5, 1005, 6].entries()) host.writeWord(i * 4, word);
	assert.is(wasi.fd_write!(1, 0, 2, 64), 0);
	assert.equal(out, ["1:hello", "1: world"]);
	assert.is(host.readWord(64), 11);
	assert.ok(touched.includes("1005+6"));
	assert.is(wasi.fd_write!(0, 0, 1, 64), 8);
	assert.is(wasi.fd_write!(3, 0, 1, 64), 8);
	assert.is(wasi.fd_read!(0, 0, 2, 64), 0);
	assert.is(host.readWord(64), 3);
	assert.is(host.readText(1000, 5), "ABClo");
	assert.is(wasi.fd_seek!(1), 70);
	assert.is(wasi.fd_prestat_get!(3), 8);
	assert.is(wasi.fd_fdstat_get!(1, 200), 0);
	assert.is(host.read(200, 1)[0], 2);
});

test("WASI: a hostile vector is refused or cut, and allocates nothing", () => {
	const written: number[] = [];
	const { wasi, host } = wasiOf({ write: (_descriptor, bytes) => void written.push(bytes.length) });
	host.writeWord(0, 0);
	host.writeWord(4, 0xffff_ffff);
	assert.is(wasi.fd_write!(1, 0, 1, 64), 0);
	assert.equal([written.length, host.readWord(64)], [0, 0]);
	host.writeWord(4, 65_537);
	assert.throws(() => wasi.fd_write!(1, 0, 1, 64), RangeError);
});

test("WASI: clock and random numbers are the program's policy, or not there", () => {
	const none = wasiOf({});
	assert.is(none.wasi.clock_time_get!(0, 0n, 0), 52);
	assert.is(none.wasi.random_get!(0, 8), 52);
	const given = wasiOf({ clock: (id) => 7n + BigInt(id), random: (bytes) => void bytes.fill(3) });
	assert.is(given.wasi.clock_time_get!(1, 0n, 8), 0);
	assert.is(given.host.readWord(8), 8);
	assert.is(given.wasi.random_get!(100, 3), 0);
	assert.equal(given.host.read(100, 4), Uint8Array.of(3, 3, 3, 0));
	assert.is(given.wasi.random_get!(0, 2 ** 21), 28);
	assert.throws(
		() => given.wasi.proc_exit!(4),
		(error: unknown) => error instanceof WasiExit && error.status === 4,
	);
});

type Env = Readonly<Record<string, (...values: (number | bigint)[]) => number>>;

test("Emscripten: memory grows by at least a fifth, and time is broken down in UTC", () => {
	const { host } = watched();
	const env = emscriptenEnv({ host, now: () => 86_400_000 }) as unknown as Env;
	assert.is(env.emscripten_resize_heap!(65_537), 1);
	assert.is(host.byteLength, 131_072);
	assert.is(env.emscripten_resize_heap!(0x4000_0000), 0);
	assert.is(env.emscripten_date_now!(), 86_400_000);
	env._gmtime_js!(951_782_400n, 100);
	assert.equal(
		Array.from({ length: 9 }, (_, i) => host.readWord(100 + i * 4)),
		[0, 0, 0, 29, 1, 100, 2, 59, 0],
		"29 February 2000, a Tuesday",
	);
	assert.is(env.__syscall_openat!(), -44);
});

test("Emscripten: an assertion is a trap with its text; longjmp ends an invoke", () => {
	const { host } = watched();
	let threw = 0;
	let stack = 5;
	const table = { get: (index: number) => (index === 1 ? env._emscripten_throw_longjmp : () => index) };
	const env: Env = emscriptenEnv({
		host,
		exports: () => ({
			table,
			stackSave: () => stack++,
			stackRestore(pointer) {
				stack = pointer;
			},
			setThrew(value) {
				threw = value;
			},
		}),
	}) as unknown as Env;
	host.write(10, host.encodeText("x > 0"));
	host.write(30, host.encodeText("a.c"));
	assert.throws(
		() => env.__assert_fail!(10, 30, 7, 0),
		(error: unknown) => error instanceof WebAssembly.RuntimeError && /x > 0 \(a\.c:7\)/.test(error.message),
	);
	assert.is(env.invoke!(4), 4);
	assert.is(env.invoke!(1), undefined as unknown as number);
	assert.equal([threw, stack], [1, 6]);
});

test.run();
