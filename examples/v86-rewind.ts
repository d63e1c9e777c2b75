// A history of a PC in v86, and back: its files are deleted, and it runs again as it was before. `npm run guests` prepares it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localPlatform, restore, SnapshotStore, startHistory } from "pageferry";
import { loadV86, V86Guest, V86GuestFactory } from "pageferry/guests/v86";

const { clock, random, files, openFolderStore } = localPlatform();
const folder = "build/guests/ready/v86";
const policy = { clock: "continue", random: "keep" } as const;
if ((await files.read(`${folder}/manifest.json`)) === undefined) console.log("skipped: first run `npm run guests`");
else await main();

/** Types a command into the shell. @returns what it says */
async function shell(guest: V86Guest, command: string): Promise<string> {
	let said = "";
	const stop = guest.serial.listen((text) => (said += text));
	guest.serial.write(`${command}; echo "do"ne\n`);
	while (!said.includes("done")) await clock.sleep(5);
	stop();
	return said
		.slice(0, said.indexOf("done"))
		.replaceAll(/^# |\r/g, "")
		.trim();
}

async function main(): Promise<void> {
	const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
	const saved = new SnapshotStore(await openFolderStore(`${folder}/store`), { clock, random });
	const snapshot = await saved.open((await saved.list())[0]!.id);
	const { guest } = await restore({ snapshot, factories, clock, random }, policy);
	if (!(guest instanceof V86Guest)) throw new Error("another guest than was saved");
	const place = await mkdtemp(join(tmpdir(), "pageferry-rewind-")); // its own: others may run this too
	const store = new SnapshotStore(await openFolderStore(place), { clock, random });

	await shell(guest, "echo everything >/tmp/work");
	const history = await startHistory({ guest, store, clock }, { everyMs: 100, keep: { ageMs: 600_000 } });
	const good = await history.now({ label: "before the accident" });
	await shell(guest, "rm -rf /tmp/* /bin/ls");
	await history.now();

	const { guest: again } = await history.rewind(good.snapshot.id, { factories, random }, policy);
	if (!(again instanceof V86Guest)) throw new Error("another guest than was saved");
	const text = await shell(again, "ls -d /bin/ls; cat /tmp/work");
	if (!text.includes("everything") || !text.includes("/bin/ls")) throw new Error(`it says '${text}'`);
	console.log(`back to '${good.snapshot.label}', paused for ${good.metrics.downtimeMs.toFixed(1)} ms then: ${text}`);
	await again.discard();
	await rm(place, { recursive: true });
}
