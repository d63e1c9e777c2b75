// Live Save of a WebAssembly guest while it works, and increments: Lua counts, each snapshot pauses it only for what changed.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { localPlatform, SnapshotSeries, SnapshotStore, startWasmGuest } from "pageferry";

const { clock, random, workers, openFolderStore } = localPlatform();
const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
const store = new SnapshotStore(await openFolderStore(path), { clock, random });
const program = import.meta.url.endsWith(".ts") ? "./programs/lua.ts" : "./programs/lua.js";
const guest = await startWasmGuest({ workers, clock, programUrl: new URL(program, import.meta.url).href });
await guest.call({ ballastMiB: 16 }); // something to save

let number = 1;
let isOver = false;
async function work(): Promise<void> {
	while (!isOver)
		await guest.call({ number: number++, request: "data.count = (data.count or 0) + 1 return data.count" });
}

const working = work();
const series = await SnapshotSeries.open({ guest, store, clock });
for (let i = 0; i < 3; i++) {
	const { metrics } = await series.liveSave({ label: `number ${i}` });
	console.log(
		`${metrics.incremental ? "increment" : "whole"}: ${metrics.pagesTransferred} pages in ${metrics.rounds.length} rounds, downtime ${metrics.downtimeMs.toFixed(1)} ms`,
	);
}
isOver = true;
await working;
await series.close();
await guest.discard();
for (const { id, addedBytes } of await store.list()) {
	console.log(`${id} took ${addedBytes} bytes`);
	await store.delete(id);
}
await store.prune();
await rm(path, { recursive: true });
