import { StreamLink } from "../../bindings/links/stream-link.ts";
import { testHash64 } from "./suites/hash.ts";
import { linkContract } from "./suites/link.ts";
import { MemoryStream } from "./suites/memory-stream.ts";

linkContract("stream link in memory, read in pieces of 1000 bytes", async (options, body) => {
	const [a, b] = MemoryStream.pair({ readBytes: 1000 });
	const links = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64, ...options })) as [
		StreamLink,
		StreamLink,
	];
	await Promise.all(links.map((link) => link.opened));
	await body(...links);
});
