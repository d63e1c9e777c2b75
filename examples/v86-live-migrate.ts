// A Linux in v86 moves live while it counts, keeps its shell, and misses no number. `npm run guests` prepares it.
import { localPlatform, openLinkPair, preCopy, receiveGuest, restore, SnapshotStore } from "pageferry";
import { loadV86, V86Guest, V86GuestFactory } from "pageferry/guests/v86";

const { clock, random, files, openFolderStore } = localPlatform();
const folder = "build/guests/ready/v86";
if ((await files.read(`${folder}/manifest.json`)) === undefined) console.log("skipped: first run `npm run guests`");
else await main();

async function main(): Promise<void> {
	const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
	const store = new SnapshotStore(await openFolderStore(`${folder}/store`), { clock, random });
	const snapshot = await store.open((await store.list())[0]!.id);
	const { guest } = await restore({ snapshot, factories, clock, random }, { clock: "continue", random: "keep" });
	if (!(guest instanceof V86Guest)) throw new Error("another guest than was saved");

	let said = "";
	const listen = (linux: V86Guest) => linux.serial.listen((text) => (said += text));
	listen(guest);
	guest.serial.write("counter 10 &\n");
	while (!said.includes("count 50")) await clock.sleep(10);

	const [near, far] = openLinkPair(); // between processes: openLink(await platform.connect(address))
	const arriving = receiveGuest({ link: far, factories, clock });
	const result = await preCopy({ guest, link: near, clock, random });
	const arrived = await arriving;
	if (result.outcome !== "moved" || arrived.outcome !== "running" || !(arrived.guest instanceof V86Guest))
		throw new Error(`the guest was ${result.outcome}`);
	listen(arrived.guest);
	arrived.guest.serial.write("uname -sr\n");
	while (!/count 100\b/.test(said) || !said.includes("Linux")) await clock.sleep(10);

	const counts = Array.from(said.matchAll(/count (\d+)/g), ([, digits]) => Number(digits));
	if (counts.some((count, at) => count !== at + 1)) throw new Error("a number is missing or came twice");
	console.log(`${counts.length} numbers without a gap, on ${/Linux [\d.]+/.exec(said)?.[0]}`);
	console.log(`${result.metrics.rounds.length} rounds, downtime ${result.metrics.downtimeMs.toFixed(1)} ms`);
	await arrived.guest.discard();
}
