// Xen Save of a guest into a folder: paused, written, running on. Then it is restored, and both count on by themselves.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { localPlatform, MemoryGuest, MemoryGuestFactory, restore, SnapshotStore, save } from "pageferry";

const { clock, random, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const store = new SnapshotStore(await openFolderStore(path), { clock, random });
const PAGES = 4096; // 16 MiB
const guest = new MemoryGuest({ pageCount: PAGES });
guest.write(0, new TextEncoder().encode("what was here when it was saved"));

const { snapshot, metrics } = await save({ guest, store, clock }, { label: "example" });
guest.write(0, new TextEncoder().encode("WHAT HAS CHANGED SINCE"));

const factory = new MemoryGuestFactory(clock, PAGES);
const services = { snapshot: await store.open(snapshot.id), factories: [factory], clock, random };
const restored = await restore(services, { clock: "jump", random: "reseed" });
if (!(restored.guest instanceof MemoryGuest)) throw new Error("another guest than was saved");
const text = new TextDecoder().decode(restored.guest.read(0, 31));
if (text !== "what was here when it was saved") throw new Error(`the copy has '${text}'`);
console.log(`saved ${snapshot.id}, downtime ${metrics.downtimeMs.toFixed(1)} ms; its copy is ${restored.generation}`);
await store.delete(snapshot.id);
await store.prune();
await rm(path, { recursive: true });
