// Post-copy of a memory guest within one process: it runs at the target before its pages are there, and waits only for
// those it touches.
import { localPlatform, MemoryGuest, MemoryGuestFactory, openLinkPair, postCopy, receiveGuest } from "pageferry";

const { clock, random } = localPlatform();
const PAGES = 4096; // 16 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
guest.write(0, random.fill(new Uint8Array(PAGES * 4096)));
const before = guest.read(1000 * 4096, 4096);

const [near, far] = openLinkPair();
const arriving = receiveGuest({ link: far, factories: [new MemoryGuestFactory(clock, PAGES)], clock });
const moving = postCopy({ guest, link: near, clock, random });
const arrived = await arriving;
if (arrived.outcome !== "running" || !(arrived.guest instanceof MemoryGuest)) throw new Error(arrived.outcome);
console.log(`running at the target, ${arrived.paging?.missingPages ?? 0} pages still to come`);

const page = await arrived.guest.load(1000 * 4096, 4096); // waits if the page has not come; `read` would fail
if (page.some((byte, i) => byte !== before[i])) throw new Error("page 1000 is not what it was");

// A lost link ends `interrupted`: result.paging.recover(anotherLink) goes on.
const result = await moving;
if (result.outcome !== "moved") throw new Error(`the guest is ${result.outcome}`);
const { downtimeMs, resumeMs, paging } = result.metrics;
console.log(`moved: downtime ${downtimeMs.toFixed(1)} ms, all pages after ${resumeMs.toFixed(1)} ms`);
console.log(`${paging?.networkFaults ?? 0} pages were waited for, ${paging?.pushedPages ?? 0} pushed`);
