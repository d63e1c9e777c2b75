// Many clones of one warmed-up WebAssembly guest at once: its pages are read once, and each copy is told which one it is.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import {
	localPlatform,
	restoreClones,
	SnapshotStore,
	save,
	startWasmGuest,
	WasmGuest,
	WasmGuestFactory,
} from "pageferry";

const { clock, random, workers, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const store = new SnapshotStore(await openFolderStore(path), { clock, random });
const program = import.meta.url.endsWith(".ts") ? "./programs/lua.ts" : "./programs/lua.js";
const programUrl = new URL(program, import.meta.url).href;
const guest = await startWasmGuest({ workers, clock, programUrl });
await guest.call({ number: 0, request: "data.name = 'warmed up' return data.name" });
const { snapshot, metrics } = await save({ guest, store, clock });
await guest.discard();

const factory = await WasmGuestFactory.open({ workers, clock, programUrls: [programUrl] });
const clones = await restoreClones(
	{ snapshot: await store.open(snapshot.id), factories: [factory], clock, random },
	3,
	// Lua's generator lies in its memory, and this program has no hook to seed it anew: the clones draw the same numbers.
	{ clock: "jump", random: "keep" },
);
for (const { guest: clone, generation } of clones) {
	if (!(clone instanceof WasmGuest)) throw new Error("another guest than was saved");
	const answer = await clone.call({ number: 1, request: `data.id = '${generation}' return data.name` });
	if (answer !== "string:warmed up") throw new Error(`a clone answered ${answer}`);
	await clone.discard();
}
const [{ metrics: restoring }] = clones as [(typeof clones)[number]];
console.log(
	`saved with a downtime of ${metrics.downtimeMs.toFixed(1)} ms; ${clones.length} clones in ${restoring.totalMs.toFixed(0)} ms`,
);
await store.delete(snapshot.id);
await store.prune();
await rm(path, { recursive: true });
