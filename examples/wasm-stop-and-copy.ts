// Stop-and-copy of a WebAssembly guest: SQLite's database goes along, because it lies in the module's memory.
import {
	localPlatform,
	openLinkPair,
	receiveGuest,
	startWasmGuest,
	stopAndCopy,
	WasmGuest,
	WasmGuestFactory,
} from "pageferry";

const { clock, random, workers } = localPlatform();
const program = import.meta.url.endsWith(".ts") ? "./programs/sqlite.ts" : "./programs/sqlite.js";
const programUrl = new URL(program, import.meta.url).href;

const guest = await startWasmGuest({ workers, clock, programUrl });
await guest.call({
	number: 1,
	request: "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('written at the source')",
});

const [near, far] = openLinkPair();
const factory = await WasmGuestFactory.open({ workers, clock, programUrls: [programUrl] });
const arriving = receiveGuest({ link: far, factories: [factory], clock });
const result = await stopAndCopy({ guest, link: near, clock, random });
const arrived = await arriving;
if (result.outcome !== "moved" || arrived.outcome !== "running" || !(arrived.guest instanceof WasmGuest))
	throw new Error(`the guest was ${result.outcome}`);

const answer = await arrived.guest.call({ number: 2, request: "SELECT text FROM notes" });
await arrived.guest.discard();
if (answer !== '[["written at the source"]]') throw new Error(`the target answered ${answer}`);
console.log(`moved, downtime ${result.metrics.downtimeMs.toFixed(1)} ms; the target answers ${answer}`);
