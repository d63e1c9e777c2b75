// A process that takes v86 guests whose pages follow, one after another: the target of v86-post-copy.bench.ts. Prints the address at
// which it listens; then for each guest a line of JSON with what it has felt; is killed then, and ends by itself after ten minutes.
import process from "node:process";
import { loadV86, V86WorkerGuestFactory } from "../../dist/guests-v86.js";
import { localPlatform, openLink, receiveGuest } from "../../dist/index.js";

const { clock, files, listen, workers } = localPlatform();
const factories = [new V86WorkerGuestFactory({ v86: await loadV86(files), clock, workers })];
const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
console.log(JSON.stringify(door.address));
setTimeout(() => process.exit(), 600_000);

/** Instructions per ms since `from`. */
async function rateSince(guest, from) {
	const { instructions, timeMs } = await guest.progress();
	return ((instructions - from.instructions) >>> 0) / (timeMs - from.timeMs);
}

for (;;) {
	const link = openLink(await door.accept());
	const { outcome, guest, paging } = await receiveGuest({ link, factories, clock });
	const felt = { outcome };
	if (outcome === "running") {
		const atStart = await guest.progress();
		const { outcome: pages } = (await paging?.ended) ?? { outcome: "none" };
		const during = await rateSince(guest, atStart);
		const atEnd = await guest.progress();
		await clock.sleep(300);
		const { faults, minorFaults, blockedMs, latenciesMs } = guest.faulting.faultReport();
		Object.assign(felt, {
			pages,
			faults,
			minorFaults,
			blockedMs,
			latenciesMs,
			during,
			after: await rateSince(guest, atEnd),
		});
	}
	console.log(JSON.stringify(felt));
	await guest?.discard();
}
