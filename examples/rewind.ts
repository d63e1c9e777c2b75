// A history of a running guest, and back: something goes wrong, and the guest runs again as it was before.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { localPlatform, MemoryGuest, MemoryGuestFactory, SnapshotStore, startHistory } from "pageferry";

const { clock, random, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const store = new SnapshotStore(await openFolderStore(path), { clock, random });
const PAGES = 4096; // 16 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
const say = (text: string): void => guest.write(0, new TextEncoder().encode(text.padEnd(16)));

say("all is well");
const history = await startHistory({ guest, store, clock }, { everyMs: 50, keep: { count: 10 } });
const good = await history.now({ label: "before the upgrade" });
say("all is lost");
await history.now();

const services = { factories: [new MemoryGuestFactory(clock, PAGES)], random };
const { guest: again } = await history.rewind(good.snapshot.id, services, { clock: "jump", random: "keep" });
if (!(again instanceof MemoryGuest)) throw new Error("another guest than was saved");
const text = new TextDecoder().decode(again.read(0, 16)).trim();
if (text !== "all is well") throw new Error(`it says '${text}'`);
const { downtimeMs, pagesTransferred } = good.metrics;
console.log(
	`${history.entries.length} snapshots; back to '${good.snapshot.label}' (${pagesTransferred} pages, downtime ${downtimeMs.toFixed(2)} ms): ${text}`,
);
for (const { id } of await store.list()) await store.delete(id);
await store.prune();
await rm(path, { recursive: true });
