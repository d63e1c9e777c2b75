// Saves a Lua guest into a folder store, or restores it and goes on: save FOLDER | restore FOLDER NUMBER. Prints what the guest counts.
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { startWasmGuest, WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const [mode, folder = "", from = "0"] = programArguments;
const { clock, random, workers, openFolderStore } = await thisPlatform();
const store = new SnapshotStore(await openFolderStore(folder), { clock, random });
const program = import.meta.url.endsWith(".ts") ? "./lua.ts" : "./lua.js";
const programUrl = new URL(program, import.meta.url).href;
const request = "data.count = (data.count or 0) + 1 return data.count";

if (mode === "save") {
	const guest = await startWasmGuest({ workers, clock, programUrl });
	for (let number = 0; number < 5; number++) print(`counted ${await guest.call({ number, request })}`);
	const { snapshot } = await liveSave({ guest, store, clock });
	print(`saved ${snapshot.id}`);
	await guest.discard();
} else {
	const snapshots = await store.list();
	const snapshot = await store.open(snapshots[snapshots.length - 1]!.id);
	const factory = await WasmGuestFactory.open({ workers, clock, programUrls: [programUrl] });
	const { guest } = await restore({ snapshot, factories: [factory], clock, random }, { clock: "jump", random: "keep" });
	if (!(guest instanceof WasmGuest)) throw new TypeError("another guest than was saved");
	for (let number = Number(from); number < Number(from) + 3; number++)
		print(`counted ${await guest.call({ number, request })}`);
	await liveSave({ guest, store, clock });
	await guest.discard();
}
