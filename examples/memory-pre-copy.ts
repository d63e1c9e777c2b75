// Pre-copy of a memory guest within one process: it is written all the time, and loses nothing.
import { localPlatform, MemoryGuest, MemoryGuestFactory, openLinkPair, preCopy, receiveGuest } from "pageferry";

const { clock, random } = localPlatform();
const PAGES = 16_384; // 64 MiB
const guest = new MemoryGuest({ pageCount: PAGES });

// A program that counts in the guest's memory, on another page each time. Paused, the guest takes no writes.
let count = 0;
async function work(): Promise<void> {
	for (; guest.running; await clock.sleep(0)) {
		count++;
		guest.write((count % PAGES) * 4096, new Uint8Array(Uint32Array.of(count).buffer));
	}
}

const [near, far] = openLinkPair();
const arriving = receiveGuest({ link: far, factories: [new MemoryGuestFactory(clock, PAGES)], clock });
const working = work();
const result = await preCopy(
	{ guest, link: near, clock, random },
	{
		downtimeLimitMs: 5,
		onProgress: ({ phase, round, pendingPages }) => {
			if (phase === "live") console.log(`round ${round}, ${pendingPages} pages left`);
		},
	},
);
const [arrived] = await Promise.all([arriving, working]);
if (result.outcome !== "moved" || arrived.outcome !== "running" || !(arrived.guest instanceof MemoryGuest))
	throw new Error(`the guest was ${result.outcome}`);
const found = new Uint32Array(arrived.guest.read((count % PAGES) * 4096, 4).buffer)[0];
if (found !== count) throw new Error(`the last write was ${count}, the target has ${found}`);
console.log(`moved after ${result.metrics.rounds.length} rounds, downtime ${result.metrics.downtimeMs.toFixed(1)} ms`);
