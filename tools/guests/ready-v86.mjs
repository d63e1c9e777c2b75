// A v86 guest that has booted once: everything that wants a Linux restores it, in a tenth of a second instead of six seconds.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Missing } from "./debian.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const MEMORY_BYTES = 64 * 2 ** 20;
const BOOT_LIMIT_MS = 300_000; // six seconds on a quiet machine, a minute on a busy one
/** From the line that says that it is up to its prompt. */
const PROMPT_LIMIT_MS = 60_000;
const COMMAND_LINE =
	"console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on nokaslr quiet cryptomgr.notests pageferry.ip=10.5.0.2";

/** What the ready state was made from: with anything else it is made again. */
export function readyRecipe(assets) {
	const { files } = JSON.parse(readFileSync(join(assets, "manifest.json"), "utf8"));
	const hash = createHash("sha256").update(JSON.stringify(files));
	for (const name of [
		"device-state.ts",
		"state-blocks.ts",
		"state-values.ts",
		"emulator.ts",
		"machine.ts",
		"time-stamp.ts",
	])
		hash.update(readFileSync(join(root, "bindings/guests/v86", name)));
	return hash.digest("hex");
}

/** Boots Linux and saves it into a store in `folder`. @throws {Missing} when it does not boot in five minutes, with what to do */
export async function bootOnce(assets, folder) {
	const { localPlatform, save, SnapshotStore } = await import(join(root, "dist/index.js"));
	const { clock, random, openFolderStore } = localPlatform();
	const guest = await booted(assets);
	mkdirSync(folder, { recursive: true });
	const store = new SnapshotStore(await openFolderStore(join(folder, "store")), { clock, random });
	const { snapshot } = await save({ guest, store, clock }, { label: "ready", stayPaused: true });
	await guest.discard();
	console.log(`  ${(snapshot.addedBytes / 2 ** 20).toFixed(1)} MiB`);
}

/** A Linux that waits at its prompt. @throws {Missing} */
async function booted(assets) {
	const { localPlatform } = await import(join(root, "dist/index.js"));
	const { loadV86, V86Guest } = await import(join(root, "dist/guests-v86.js"));
	const { clock, files } = localPlatform();
	const asset = (name) => new Uint8Array(readFileSync(join(assets, name)));
	const linux = { kernel: asset("vmlinuz"), initramfs: asset("initramfs.gz"), commandLine: COMMAND_LINE };
	try {
		const guest = await V86Guest.start({
			v86: await loadV86(files),
			clock,
			memoryByteLength: MEMORY_BYTES,
			firmware: { bios: asset("bios.bin"), vgaBios: asset("vgabios.bin"), linux },
			booted: (line) => line.includes("pageferry: ready"),
			bootMs: BOOT_LIMIT_MS,
		});
		let said = "";
		const atPrompt = new Promise((resolve) => {
			guest.serial.listen((text) => {
				said += text;
				if (/pageferry: ready[\s\S]*# $/.test(said)) resolve();
			});
		});
		const timer = new AbortController();
		const late = clock.sleep(PROMPT_LIMIT_MS, timer.signal).then(
			() => "late",
			() => "in time",
		);
		const first = await Promise.race([atPrompt, late]);
		timer.abort(); // it would keep the process
		if (first !== "late") return guest;
		await guest.discard();
		throw new Missing(`Linux came up and has no prompt; its last words:\n${said.slice(-1000)}\n${ADVICE}`);
	} catch (error) {
		if (error.name !== "V86Error" && error.name !== "GuestError") throw error;
		throw new Missing([error.message, error.errorText, ADVICE].filter(Boolean).join("\n"), { cause: error });
	}
}

const ADVICE =
	"What it boots from may be damaged, or a newer kernel may need something else: fetch it again with `npm run guests -- --refresh`";
