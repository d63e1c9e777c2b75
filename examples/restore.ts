// Lazy restore: the guest runs at once, its pages come when it touches them; the second time in the order of the first.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import {
	AccessOrders,
	lazyRestore,
	localPlatform,
	MemoryGuest,
	MemoryGuestFactory,
	SnapshotStore,
	save,
} from "pageferry";

const { clock, random, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const folder = await openFolderStore(path);
const store = new SnapshotStore(folder, { clock, random });
const PAGES = 16_384; // 64 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
for (let page = 0; page < PAGES; page++) guest.write(page * 4096, Uint8Array.of(page, page >> 8, 7));
const { snapshot, metrics } = await save({ guest, store, clock });
console.log(`saved with a downtime of ${metrics.downtimeMs.toFixed(0)} ms`);

const services = {
	snapshot: await store.open(snapshot.id),
	factories: [new MemoryGuestFactory(clock, PAGES)],
	clock,
	random,
	accessOrders: new AccessOrders(folder, random),
};
for (const run of ["first", "second"]) {
	const startedMs = clock.now();
	const restored = await lazyRestore(services, { clock: "jump", random: "reseed" });
	if (!(restored.guest instanceof MemoryGuest)) throw new Error("another guest than was saved");
	const [low, high] = await restored.guest.load(12_345 * 4096, 2);
	const answeredMs = clock.now() - startedMs;
	if (low !== (12_345 & 255) || high !== 12_345 >> 8) throw new Error("not what was saved");
	const report = await restored.done;
	console.log(
		`${run} run (order: ${restored.order}): answered after ${answeredMs.toFixed(0)} ms, all ${restored.missingPages} pages after ${(clock.now() - startedMs).toFixed(0)} ms, ${report.faults.faults} waits`,
	);
	await restored.guest.discard();
}
await rm(path, { recursive: true });
