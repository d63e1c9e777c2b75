// What would each technique cost this guest? SQLite works; its dirty pages are recorded while it does; the planner predicts,
// and the lab replays the recording under every technique in virtual time. Nothing is moved.
import {
	decodeTrace,
	encodeTrace,
	localPlatform,
	plan,
	REPLAY_TECHNIQUES,
	recordDirtyTrace,
	replayTrace,
	sampleGuest,
	startWasmGuest,
} from "pageferry";

const { clock, workers } = localPlatform();
const program = import.meta.url.endsWith(".ts") ? "./programs/sqlite.ts" : "./programs/sqlite.js";
const guest = await startWasmGuest({ workers, clock, programUrl: new URL(program, import.meta.url).href });
const ask = (number: number, request: string) => guest.call({ number, request });
await ask(1, "CREATE TABLE t (n INTEGER PRIMARY KEY, v INTEGER); CREATE INDEX i ON t (v)");
await guest.call({ ballastMiB: 8 });

let number = 1;
let over = false;
const work = (async () => {
	while (!over) {
		await ask(++number, `INSERT INTO t VALUES (${number}, ${(number * 7919) % 10007})`);
		await clock.sleep(2);
	}
})();
const recorded = await recordDirtyTrace(guest, clock, { durationMs: 600, intervalMs: 20 });
const bytesPerMs = 10_000; // 10 MB/s
const sample = await sampleGuest(guest, clock, { linkBytesPerMs: bytesPerMs, trace: recorded });
over = true;
await work;
await guest.discard();

// As text it can be kept: docs/trace-format.md.
const trace = decodeTrace(encodeTrace(recorded));
const { recommended, reason, techniques } = plan(trace, { bytesPerMs, sample, canWaitForPages: true });
for (const technique of REPLAY_TECHNIQUES) {
	const options = { technique, bytesPerMs, bytesPerPage: sample.bytesPerPage };
	const { totalMs, downtimeMs, pages } = await replayTrace(clock, trace, options);
	const predicted = techniques.find((one) => one.technique === technique)?.totalMs.expected.toFixed(0) ?? "–";
	console.log(
		`${technique.padEnd(18)} ${totalMs.toFixed(0).padStart(6)} ms (planned ${predicted}), down ${downtimeMs.toFixed(1)} ms, ${pages} pages`,
	);
}
console.log(`${trace.steps.length} intervals of ${trace.pageCount} pages; ${recommended}: ${reason}`);
