// A Linux that has booted, from `npm run guests`: restored from its snapshot for each test.
import * as assert from "uvu/assert";
import { V86GuestFactory, type V86GuestFactoryOptions } from "../../bindings/guests/v86/factory.ts";
import { type StartV86GuestOptions, V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86SerialPort } from "../../bindings/guests/v86/serial-port.ts";
import type { Platform } from "../../bindings/ports/platform.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import type { SnapshotReader } from "../../bindings/snapshot/store-reader.ts";
import { Console } from "./move.ts";
import { v86 } from "./open-guests.ts";

/** The ports of Node or Deno. */
export const platform: Platform =
	"Deno" in globalThis
		? (await import("../../bindings/platform/deno/index.ts")).denoPlatform()
		: (await import("../../bindings/platform/node/index.ts")).nodePlatform();

const READY = "build/guests/ready/v86";

/** Why there is no Linux here; `undefined` where there is one. */
export async function whyNoLinux(): Promise<string | undefined> {
	if ((await platform.files.read(`${READY}/manifest.json`)) !== undefined) return undefined;
	return "skipped: tests on Linux in v86; `npm run guests` prepares it (root on Debian)";
}

/** Linux, as it has booted, paused; and its console. */
export async function openLinux(
	options: Partial<V86GuestFactoryOptions> = {},
): Promise<{ readonly guest: V86Guest; readonly console: Console }> {
	const { clock, random } = platform;
	const { guest } = await restore(
		{ snapshot: await linuxSnapshot(), factories: [linuxFactory(options)], clock, random },
		{ clock: "continue", random: "keep", stayPaused: true },
	);
	if (!(guest instanceof V86Guest)) throw new Error("the ready state is of another guest");
	const console = new Console();
	console.follow(guest);
	return { guest, console };
}

/** Linux that boots here, on hardware that the ready state does not have; running, with its console. */
export async function bootLinux(
	options: Partial<StartV86GuestOptions>,
): Promise<{ readonly guest: V86Guest; readonly console: Console }> {
	const asset = async (name: string): Promise<Uint8Array> => {
		const bytes = await platform.files.read(`build/guests/assets/v86/${name}`);
		if (bytes === undefined) throw new Error(`no ${name}: run npm run guests`);
		return bytes;
	};
	const linux = {
		kernel: await asset("vmlinuz"),
		initramfs: await asset("initramfs.gz"),
		commandLine: "console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on nokaslr quiet cryptomgr.notests",
	};
	const firmware = { bios: await asset("bios.bin"), vgaBios: await asset("vgabios.bin"), linux };
	const guest = await V86Guest.start({ v86, clock: platform.clock, firmware, ...options });
	const console = new Console();
	console.follow(guest);
	await console.wait(/pageferry: ready[\s\S]*# $/);
	return { guest, console };
}

/** A factory of targets for it. */
export function linuxFactory(options: Partial<V86GuestFactoryOptions> = {}): V86GuestFactory {
	return new V86GuestFactory({ v86, clock: platform.clock, ...options });
}

/** Types a command and waits for its end. @returns what it has written */
export async function shell(
	guest: { readonly serial: Pick<V86SerialPort, "write"> },
	console: Console,
	command: string,
): Promise<string> {
	const from = console.text.length;
	guest.serial.write(`${command}; echo "ended"''" $?"\n`);
	const end = await console.wait(/ended \d+/, from);
	return console.text.slice(from, end).replaceAll("\r", "");
}

/** The snapshot that Linux is restored from. */
export async function linuxSnapshot(): Promise<SnapshotReader> {
	const { clock, random } = platform;
	const store = new SnapshotStore(await platform.openFolderStore(`${READY}/store`), { clock, random });
	const [ready] = await store.list();
	if (ready === undefined) throw new Error("the ready state's store is empty");
	return store.open(ready.id);
}

/** The numbers that a program has written after this word, in order, in whole lines; the first may stand behind a prompt. */
export function numbersAfter(word: string, text: string): number[] {
	return Array.from(text.matchAll(new RegExp(`^(?:.*# )?${word} (\\d+)\\b.*\\n`, "gm")), ([, digits]) =>
		Number(digits),
	);
}

/** What is wrong with numbers that should go up by one, or `undefined`. */
export function gapIn(numbers: readonly number[]): string | undefined {
	for (let at = 1; at < numbers.length; at++)
		if (numbers[at] !== numbers[at - 1]! + 1) return `${numbers[at]} after ${numbers[at - 1]}`;
	return undefined;
}

/** Loads that fit together on one console: each writes lines of its own. */
export const LOADS = "counter 20 & oracle 4 200 & md5loop & while :; do ls /proc >/tmp/list; done &";

/** No program has found a fault, and no count has a gap. */
export function checkLoads(text: string): void {
	assert.not.match(text, /BAD|BROKEN|Oops|BUG:|panic/);
	const lines = text.replaceAll("\r", "");
	assert.is(gapIn(numbersAfter("count", lines)), undefined);
	assert.is(gapIn(numbersAfter("md5", lines)), undefined);
	const oracle = numbersAfter("oracle", lines);
	assert.is(gapIn(oracle.map((round) => round / 200)), undefined);
}

/** Resolves when each of the loads has written three lines more. */
export async function threeMore(console: Console): Promise<void> {
	const from = console.text.length;
	for (const word of ["count", "md5", "oracle"])
		await console.wait(new RegExp(`(^${word} \\d+[\\s\\S]*?){3}\n`, "m"), from);
}
