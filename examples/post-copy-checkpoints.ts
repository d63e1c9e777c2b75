// Post-copy of a memory guest whose target dies: its changes come back as checkpoints, what it says is held until the source
// has them, and the source goes on from the last one.
import { localPlatform, MemoryGuest, MemoryGuestFactory, openLinkPair, postCopy, receiveGuest } from "pageferry";

const { clock, random } = localPlatform();
const PAGES = 4096; // 16 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
guest.write(4096, random.fill(new Uint8Array((PAGES - 1) * 4096)));

const [near, far] = openLinkPair();
const factories = [new MemoryGuestFactory(clock, PAGES)];
const arriving = receiveGuest({ link: far, factories, clock });
// Pages come only when they are asked for, so that the target dies in the middle.
const moving = postCopy({ guest, link: near, clock, random }, { push: { variant: "demand" }, checkpoints: true });
const arrived = await arriving;
if (arrived.outcome !== "running" || !(arrived.guest instanceof MemoryGuest)) throw new Error(arrived.outcome);

// The program counts in its first page, and says how far it is.
const target = arrived.guest;
let heard = 0;
const said = new Promise<void>((resolve) => {
	target.onOutput = (bytes) => {
		heard = bytes[0]!;
		if (heard === 3) resolve();
	};
});
for (let count = 1; count <= 3; count++) {
	await target.touch(0, 1);
	await target.step(() => {
		target.write(0, Uint8Array.of(count));
		target.emit(Uint8Array.of(count)); // leaves when the source has what was counted
	});
}
await said;

near.abort(new Error("the target's machine is gone"));
target.onOutput = undefined;
await target.discard();

const result = await moving;
if (result.outcome !== "interrupted") throw new Error(`the guest is ${result.outcome}`);
// Nobody has a lease here, so this is our word that the target does not run any more.
const revived = await result.paging.revive();
if (revived.outcome !== "revived") throw new Error(`the guest is ${revived.outcome}`);
const counted = guest.read(0, 1)[0]!;
if (counted < heard) throw new Error(`heard of ${heard}, revived at ${counted}`);
console.log(`the target ran after a downtime of ${revived.metrics.downtimeMs.toFixed(1)} ms, and died`);
console.log(`revived from checkpoint ${revived.epoch}: ${heard} was heard, the guest goes on from ${counted}`);
