// Leaves a Linux in v86 behind: it runs in a worker before its memory has come, and later from a snapshot in the same way.
// `npm run guests` prepares it.
import { lazyRestore, localPlatform, openLinkPair, postCopy, receiveGuest, restore, SnapshotStore } from "pageferry";
import { loadV86, type V86Guest, V86GuestFactory, V86WorkerGuest, V86WorkerGuestFactory } from "pageferry/guests/v86";

const { clock, random, files, workers, openFolderStore } = localPlatform();
const folder = "build/guests/ready/v86";
const policy = { clock: "continue", random: "keep" } as const;
if ((await files.read(`${folder}/manifest.json`)) === undefined) console.log("skipped: first run `npm run guests`");
else await main();

/** Types a command into the shell. @returns what it says */
async function shell(guest: V86Guest | V86WorkerGuest, command: string): Promise<string> {
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
	const v86 = await loadV86(files);
	const here = [new V86GuestFactory({ v86, clock })];
	const there = [new V86WorkerGuestFactory({ v86, clock, workers })];
	const store = new SnapshotStore(await openFolderStore(`${folder}/store`), { clock, random });
	const snapshot = await store.open((await store.list())[0]!.id);
	const { guest } = await restore({ snapshot, factories: here, clock, random }, policy);

	const [near, far] = openLinkPair(); // between processes: openLink(await platform.connect(address))
	const receiving = receiveGuest({ link: far, factories: there, clock });
	const moving = postCopy({ guest, link: near, clock, random });
	const received = await receiving; // it runs, and its pages follow
	if (received.outcome !== "running" || !(received.guest instanceof V86WorkerGuest)) throw new Error("it did not move");
	console.log(await shell(received.guest, "md5sum </bin/busybox"));
	const { outcome, metrics } = await moving;
	const { faults } = received.guest.faulting.faultReport();
	console.log(`${outcome}: paused for ${metrics.downtimeMs.toFixed(1)} ms, waited for ${faults} pages`);
	await received.guest.discard();

	const restored = await lazyRestore({ snapshot, factories: there, clock, random }, policy);
	if (!(restored.guest instanceof V86WorkerGuest)) throw new Error("another guest than was saved");
	console.log(await shell(restored.guest, "md5sum </bin/busybox"));
	const { faultPages } = await restored.done;
	console.log(`restored: ran after ${restored.activationMs.toFixed(1)} ms, read ${faultPages} pages as it needed them`);
	await restored.guest.discard();
}
