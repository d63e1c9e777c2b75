// Runs the uvu suites given as file arguments, counts them, and fails what uvu alone lets pass:
// a file without `.run()`, a hook that throws, an empty suite. One suite per file.
import process from "node:process";
import { pathToFileURL } from "node:url";

globalThis.UVU_DEFER = 1;
globalThis.UVU_QUEUE = [];
const { exec } = await import("uvu");
let passed = 0;
let failed = 0;
let finished = false;
// A test that waits for something that never comes empties the event loop: say so instead of ending in silence.
process.on("exit", () => {
	if (finished) return;
	console.log("a test never settled: the event loop ran empty");
	console.log(`${passed} passed, ${failed + 1} failed`);
	process.exitCode = 1;
});
for (const file of process.argv.slice(2)) {
	const group = [null];
	globalThis.UVU_INDEX = globalThis.UVU_QUEUE.push(group) - 1;
	await import(pathToFileURL(file).href);
	if (group.length === 1) {
		failed++;
		console.error(`${file}: no .run()`);
	}
	for (let i = 1; i < group.length; i++) {
		const run = group[i];
		group[i] = async () => {
			const result = await run();
			const [errors, ok, skips, total] = result;
			passed += ok;
			failed += total - ok || (total > 0 ? 0 : 1);
			if (errors === true && ok < total) console.error(`${file}: a hook threw`);
			if (skips > 0) console.error(`${file}: ${skips} skipped`);
			return result;
		};
	}
}
await exec();
finished = true;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
