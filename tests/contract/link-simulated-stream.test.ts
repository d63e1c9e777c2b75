import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { testHash64 } from "./suites/hash.ts";
import { linkContract } from "./suites/link.ts";

linkContract("stream link over a simulated gigabit line, 0.2 ms away", async (options, body) => {
	const clock = new VirtualClock(systemClock);
	const { a, b } = connectSimulated(clock, { rateBytesPerMs: 117_000, latencyMs: 0.2 });
	await clock.run(async () => {
		const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64, ...options }));
		await Promise.all([source!.opened, target!.opened]);
		await body(source!, target!);
	});
});
