// Stop-and-copy of a memory guest within one process: the baseline. It is paused for the whole transfer.
import { localPlatform, MemoryGuest, MemoryGuestFactory, openLinkPair, receiveGuest, stopAndCopy } from "pageferry";

const { clock, random } = localPlatform();
const PAGES = 16_384; // 64 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
guest.write(5 * 4096, new TextEncoder().encode("hello"));
guest.setState(new TextEncoder().encode("what is not in pages"));

const [near, far] = openLinkPair();
const arriving = receiveGuest({ link: far, factories: [new MemoryGuestFactory(clock, PAGES)], clock });
const result = await stopAndCopy({ guest, link: near, clock, random });
const arrived = await arriving;
if (result.outcome !== "moved" || arrived.outcome !== "running" || !(arrived.guest instanceof MemoryGuest))
	throw new Error(`the guest was ${result.outcome}`);
const text = new TextDecoder().decode(arrived.guest.read(5 * 4096, 5));
if (text !== "hello") throw new Error(`the target has '${text}'`);
const { pagesTransferred, zeroPages, downtimeMs } = result.metrics;
console.log(`moved ${pagesTransferred} pages, ${zeroPages} of them zero, downtime ${downtimeMs.toFixed(1)} ms`);
