// Counts a reference up, together with whoever else does: FOLDER WINS.
// Prints `won N` once the move to N is acknowledged. Before it moves to N it stores object `N-PID`, so that a killed run
// leaves objects and references in every stage. Ends after WINS won moves.
import process from "node:process";
import { counterValue, objectBytes, readCounter } from "./store-counter-format.ts";
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const [folder = "", wins = "0"] = programArguments;
const store = await (await thisPlatform()).openFolderStore(folder);
print("open");
for (let won = 0; won < Number(wins); ) {
	const seen = await store.readReference("counter");
	const next = readCounter(seen) + 1;
	const object = `${next}-${process.pid}`;
	await store.put(object, objectBytes(next));
	if (await store.compareAndSetReference("counter", seen, counterValue(next))) {
		won++;
		print(`won ${next}`);
	}
}
