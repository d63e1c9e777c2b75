// Hybrid move of a memory guest whose program says what it does not need: what is in the balloon does not travel, the rest
// goes once while the guest runs here, and what changed meanwhile follows it.
import {
	hybrid,
	localPlatform,
	MemoryGuest,
	MemoryGuestFactory,
	openLinkPair,
	receiveGuest,
	startSelfBallooning,
} from "pageferry";

const { clock, random } = localPlatform();
const PAGES = 4096; // 16 MiB
const USED = 1024;
const guest = new MemoryGuest({ pageCount: PAGES });
guest.write(0, random.fill(new Uint8Array(PAGES * 4096)));
guest.balloon.free(USED, PAGES - USED);

const ballooning = startSelfBallooning({ guest, clock }, { intervalMs: 20 }); // 5 s unless you say otherwise
while (ballooning.balloonPages === 0) await clock.sleep(5);
await ballooning.stop();
console.log(`${ballooning.balloonPages} of ${PAGES} pages are in the balloon`);

const [near, far] = openLinkPair();
const arriving = receiveGuest({ link: far, factories: [new MemoryGuestFactory(clock, PAGES)], clock });
const [result, arrived] = await Promise.all([hybrid({ guest, link: near, clock, random }), arriving]);
if (result.outcome !== "moved" || arrived.outcome !== "running") throw new Error(`the guest is ${result.outcome}`);
const { pagesTransferred, paging } = result.metrics;
console.log(`moved: ${pagesTransferred} pages travelled, ${paging?.owedPages ?? 0} of them after the switch`);
if (pagesTransferred > PAGES - ballooning.balloonPages) throw new Error("pages in the balloon have travelled");
