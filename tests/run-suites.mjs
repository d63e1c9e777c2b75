// Runs the uvu suites given as file arguments, counts them, and fails what uvu alone lets pass:
// a file without `.run()`, a hook that throws, an empty suite, anything left open behind the last test. One suite per file.
import process from "node:process";
import { pathToFileURL } from "node:url";

/** For what closes in order: a socket waits 250 ms for its peer's end. */
const GRACE_MS = 5000;

globalThis.UVU_DEFER = 1;
globalThis.UVU_QUEUE = [];
const { exec } = await import("uvu");
let passed = 0;
let failed = 0;
let finished = false;
process.on("exit", () => {
	// A test that waits for something that never comes empties the event loop: say so instead of ending in silence.
	if (!finished) {
		console.log("a test never settled: the event loop ran empty");
		failed++;
	}
	console.log(`${passed} passed, ${failed} failed`);
	process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
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
// On Node the process ends by itself, because nothing is left to do. `process.exit()` would hide sockets, timers and workers that
// were left behind, and on Node 24 it sometimes never ends: it waits for V8's compiling threads, one of which may wait for a
// garbage collection by this thread (github.com/nodejs/node/issues/54918; on a busy machine 1 of 250 runs of a suite, none of
// 1600 without it). On Deno a worker that was ended in an endless loop goes on for ever, and keeps the process.
if ("Deno" in globalThis) process.exit();
setTimeout(() => {
	console.log(`left open ${GRACE_MS} ms after the last test: ${process.getActiveResourcesInfo().join(", ")}`);
	failed++;
	process.exit();
}, GRACE_MS).unref();
