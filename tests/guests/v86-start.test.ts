// Starts of v86 machines that cannot work: each ends, with an error that says what to do, and leaves nothing.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Build } from "../../bindings/guests/v86/emulator.ts";
import { V86Error } from "../../bindings/guests/v86/errors.ts";
import type { V86Firmware, V86Linux } from "../../bindings/guests/v86/firmware.ts";
import { type StartV86GuestOptions, V86Guest } from "../../bindings/guests/v86/guest.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { Clock } from "../../bindings/ports/clock.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import type { WorkerPort } from "../../bindings/ports/worker.ts";
import { bootSectorFirmware, sayingFirmware } from "../v86/boot-sector.ts";
import { fakeKernel, type KernelClaims, REAL_MODE_BYTES } from "../v86/kernel.ts";
import { Console } from "../v86/move.ts";
import { MEMORY_BYTES, v86 } from "../v86/open-guests.ts";
import { guestPorts } from "../wasm/guest-ports.ts";

const test = suite("v86 guest: starts");
const { workers } = await guestPorts();
const open = new Set<V86Guest | V86WorkerGuest>();
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

type Options = Partial<StartV86GuestOptions> & { readonly workers?: WorkerPort };
const PLACES = ["on its host's thread", "in a worker"] as const;

/** Starts a machine in either place; it is discarded when the test ends. */
async function start(place: (typeof PLACES)[number], options: Options): Promise<V86Guest | V86WorkerGuest> {
	const asked = {
		...{ v86, clock: systemClock, workers, firmware: bootSectorFirmware() },
		memoryByteLength: MEMORY_BYTES,
		...options,
	};
	const guest = await (place === "in a worker" ? V86WorkerGuest : V86Guest).start(asked);
	open.add(guest);
	return guest;
}

const failureOf = (starting: Promise<unknown>): Promise<unknown> =>
	starting.then(
		() => "it has started",
		(error: unknown) => error,
	);

const MiB = 2 ** 20;
const linux = (claims: KernelClaims, others: Partial<V86Linux> = {}): V86Firmware => ({
	...bootSectorFirmware(),
	linux: { kernel: fakeKernel(claims), initramfs: new Uint8Array(1000), commandLine: "console=ttyS0", ...others },
});

const UNFIT: Readonly<
	Record<string, { readonly firmware: V86Firmware; readonly says: RegExp; readonly memory?: number }>
> = {
	"an empty BIOS": { firmware: { bios: new Uint8Array(0) }, says: /firmware\.bios: it has 0 bytes.*SeaBIOS/ },
	"a BIOS of more than 1 MiB": { firmware: { bios: new Uint8Array(MiB + 1) }, says: /firmware\.bios: it has 1048577/ },
	"a VGA BIOS that reaches into the BIOS": {
		firmware: { ...bootSectorFirmware(), vgaBios: new Uint8Array(129 * 1024) },
		says: /firmware\.vgaBios: .*up to 128 KiB.*leave it out/,
	},
	"an empty kernel": {
		firmware: linux({}, { kernel: new Uint8Array(0) }),
		says: /linux\.kernel: its 0 bytes.*bzImage/,
	},
	"a kernel that is something else": {
		firmware: linux({}, { kernel: new Uint8Array(100_000).fill(0x55) }),
		says: /no Linux kernel.*bzImage/,
	},
	"a kernel of an old protocol": { firmware: linux({ version: 0x201 }), says: /boot protocol 2\.02/ },
	"a kernel that was cut off": { firmware: linux({ byteLength: 2000 }), says: /its file is not complete/ },
	"a kernel larger than RAM": { firmware: linux({ byteLength: 9 * MiB }), says: /raise memoryByteLength to \d+/ },
	"a kernel that lies where the initramfs goes": {
		firmware: linux({ byteLength: 4 * MiB }),
		says: /linux\.kernel: .*the initramfs the last 4194304.*raise memoryByteLength/,
	},
	"a kernel that unpacks itself over the initramfs": {
		firmware: linux({ initByteLength: 3 * MiB + 1 }),
		says: new RegExp(`raise memoryByteLength to ${8 * MiB + 1} or more`),
	},
	"Linux in 1 MiB": { firmware: linux({}), memory: MiB, says: /RAM has 1048576: raise memoryByteLength/ },
	"an initramfs of more than 4 MiB": {
		firmware: linux({}, { initramfs: new Uint8Array(4 * MiB + 1) }),
		says: /linux\.initramfs: it has 4194305 bytes/,
	},
	"a command line that the kernel does not take": {
		firmware: linux({}, { commandLine: "quiet ".repeat(50) }),
		says: /linux\.commandLine: it has 300 characters; this kernel takes 255/,
	},
};

for (const place of PLACES)
	for (const [what, { firmware, says, memory }] of Object.entries(UNFIT))
		test(`${what} is refused with what to do: ${place}`, async () => {
			const memoryByteLength = memory ?? MEMORY_BYTES;
			const error = await failureOf(start(place, { firmware, memoryByteLength }));
			assert.instance(error, V86Error, String(error));
			assert.is((error as V86Error).code, "firmware");
			assert.match((error as V86Error).message, says);
		});

test("what is no array of bytes, no size or no address is the caller's mistake, and names the argument", async () => {
	const text = "bios.bin" as unknown as Uint8Array;
	assert.match(String(await failureOf(start(PLACES[0], { firmware: { bios: text } }))), /TypeError: firmware\.bios/);
	const firmware = { ...bootSectorFirmware(), macAddress: "02:86" };
	assert.match(String(await failureOf(start(PLACES[0], { firmware }))), /RangeError: firmware\.macAddress/);
	for (const memoryByteLength of [0, MiB - 4096, MiB + 4096, 8 * MiB + 65_536, 1.5, 2 ** 31, Number.NaN])
		assert.match(
			String(await failureOf(start(PLACES[0], { memoryByteLength }))),
			/RangeError: memoryByteLength: .* is no multiple of 131072/,
		);
	for (const bootMs of [0, -1, Number.NaN])
		assert.match(String(await failureOf(start(PLACES[0], { bootMs }))), /RangeError: bootMs/);
});

test("a kernel that fits is in RAM whole, whatever its length, and its header says where the initramfs is", async () => {
	const kernel = fakeKernel({ byteLength: 8191 });
	const initramfs = Uint8Array.from({ length: 999 }, (_, at) => at & 0xff);
	const guest = await start(PLACES[0], { firmware: linux({}, { kernel, initramfs }) });
	assert.ok(guest instanceof V86Guest);
	const body = kernel.subarray(REAL_MODE_BYTES);
	assert.equal(guest.readMemory(MiB, body.length), body);
	const [address = 0, byteLength = 0] = new Uint32Array(guest.readMemory(0x80218, 8).buffer);
	assert.is(address, MEMORY_BYTES - 4 * MiB);
	assert.equal(guest.readMemory(address, byteLength), initramfs);
});

/** v86 that fails somewhere in its start. */
function failing(change: (options: Record<string, unknown>) => Record<string, unknown>): V86Build {
	const Original = v86.V86 as new (options: object) => object;
	class Failing extends Original {
		constructor(options: Record<string, unknown>) {
			super({ ...options, ...change(options) });
		}
	}
	return { ...v86, V86: Failing };
}

test("what v86 throws in its own timers and promises ends the start", async () => {
	type Exports = Readonly<Record<string, unknown>>;
	type Loader = (imports: unknown) => PromiseLike<Exports>;
	const inModule = (options: Record<string, unknown>): Record<string, unknown> => ({
		wasm_fn: (imports: unknown) => ({
			// biome-ignore lint/suspicious/noThenProperty: as V86Machine gives it
			then: (use: (exports: Exports) => void) =>
				(options.wasm_fn as Loader)(imports).then((exports) =>
					use({
						...exports,
						rust_init: () => {
							throw new Error("no memory left");
						},
					}),
				),
		}),
	});
	const builds = {
		RangeError: failing(() => ({ bios: { buffer: new ArrayBuffer(MiB + 1) } })),
		"no memory left": failing(inModule),
		"is not a function": failing(() => ({ bios: { buffer: new ArrayBuffer(16), get: 1, set: 1, load: 1 } })),
	};
	for (const [says, build] of Object.entries(builds)) {
		const error = await failureOf(start(PLACES[0], { v86: build }));
		assert.instance(error, GuestError, String(error));
		assert.is((error as GuestError).code, "state");
		assert.match((error as GuestError).message, says);
	}
});

for (const place of PLACES) {
	test(`a start waits for what the machine says, and all of it is there for who listens then: ${place}`, async () => {
		const lines: string[] = [];
		const booted = (line: string): boolean => {
			lines.push(line);
			return line === "ready";
		};
		const guest = await start(place, { firmware: sayingFirmware("hello\r\nready\r\n# "), booted });
		assert.equal(lines.slice(0, 2), ["hello", "ready"]);
		const console = new Console();
		console.follow(guest);
		await console.wait("hello\r\nready\r\n# ");
		assert.is(console.text, "hello\r\nready\r\n# ");
	});

	test(`a machine that does not come up in time is discarded, and its last words are shown: ${place}`, async () => {
		// Its time is over when it has said what it has to say.
		let over: () => void = () => undefined;
		const spent = new Promise<void>((resolve) => {
			over = resolve;
		});
		const bootMs = 123_456;
		const clock: Clock = {
			now: () => systemClock.now(),
			sleep: (durationMs, signal) => (durationMs === bootMs ? spent : systemClock.sleep(durationMs, signal)),
		};
		const booted = (line: string): boolean => {
			if (line.endsWith("panic")) over();
			return false;
		};
		const firmware = sayingFirmware("one\ntwo\nthree\nKernel panic\n");
		const error = await failureOf(start(place, { firmware, booted, bootMs, clock }));
		assert.instance(error, V86Error, String(error));
		const { code, message, errorText } = error as V86Error;
		assert.is(code, "not-booted");
		assert.match(message, /within 123456 ms; its last words: two \/ three \/ Kernel panic\. .*command line/);
		assert.is(errorText, "one\ntwo\nthree\nKernel panic");
	});

	test(`what the question throws ends the start: ${place}`, async () => {
		const mistake = new Error("my mistake");
		const booted = (): boolean => {
			throw mistake;
		};
		assert.is(await failureOf(start(place, { firmware: sayingFirmware("hello\n"), booted })), mistake);
	});
}

test("a machine that fails while it boots has not booted, and the failure is the cause", async () => {
	const Original = v86.V86 as new (
		options: object,
	) => {
		readonly v86: { readonly cpu: { main_loop(): number } };
		add_listener(event: string, listener: () => void): void;
	};
	class Failing extends Original {
		constructor(options: object) {
			super(options);
			this.add_listener("emulator-ready", () => {
				this.v86.cpu.main_loop = () => {
					throw new Error("unreachable");
				};
			});
		}
	}
	const error = await failureOf(start(PLACES[0], { v86: { ...v86, V86: Failing }, booted: () => true }));
	assert.instance(error, V86Error, String(error));
	assert.is((error as V86Error).code, "not-booted");
	assert.match((error as V86Error).message, /before it ended \(v86 failed: Error: unreachable.*it has said nothing/);
	assert.is(((error as V86Error).cause as GuestError).code, "crashed");
});

test("a guest that fails in its worker ends there: its start learns it, and every later question", async () => {
	let post: (message: unknown) => void = () => undefined;
	const watched: WorkerPort = {
		start: (name) => {
			const thread = workers.start(name);
			post = (message) => thread.onMessage?.(message);
			return thread;
		},
	};
	const crash = { className: "GuestError", code: "crashed", message: "v86 failed: unreachable", stack: "" };
	const booted = (line: string): boolean => {
		if (line === "hello") post({ kind: "crashed", error: crash });
		return false;
	};
	const firmware = sayingFirmware("hello\n");
	const error = await failureOf(start("in a worker", { firmware, booted, workers: watched }));
	assert.instance(error, V86Error, String(error));
	assert.match((error as V86Error).message, /before it ended \(v86 failed: unreachable\); its last words: hello/);
	assert.is(((error as V86Error).cause as GuestError).code, "crashed");
});

test.run();
