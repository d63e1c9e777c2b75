/** Links ready to use: with the engine's checksum already in them. */
import { createEngine, type Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import type { ByteStream } from "../ports/byte-stream.ts";
import type { Link } from "../ports/link.ts";
import type { Hash64 } from "../wire/frame.ts";
import { createInProcessLinks } from "./in-process.ts";
import type { LinkOptions } from "./link-options.ts";
import { StreamLink, type StreamLinkOptions } from "./stream-link.ts";

let engine: Engine | undefined;

/** One engine for all links of a process: a checksum keeps nothing in it from one call to the next. */
const checksum: Hash64 = (bytes) => {
	engine ??= createEngine();
	return hash64(engine, bytes);
};

/**
 * Opens a link over a byte stream, on either side. It is usable at once: what is sent waits until the peer's version is
 * known; a peer that cannot be talked to ends the link with `unsupported-version` or `corrupt`.
 * @param stream - belongs to the link from here on.
 * @throws RangeError naming an option.
 *
 * @example
 * ```ts ignore
 * const link = openLink(await nodePlatform().connect({ transport: "tcp", host: "127.0.0.1", port }));
 * ```
 */
export function openLink(stream: ByteStream, options: Omit<StreamLinkOptions, "hash64"> = {}): StreamLink {
	const link = new StreamLink(stream, { ...options, hash64: checksum });
	link.opened.catch(() => undefined); // said again by every call on the link
	return link;
}

/**
 * Opens both ends of a link within this process.
 *
 * @example
 * ```ts
 * import { openLinkPair } from "./open-link.ts";
 * const [source, target] = openLinkPair();
 * await source.close();
 * await target.close();
 * ```
 */
export function openLinkPair(options: Omit<LinkOptions, "hash64"> = {}): [source: Link, target: Link] {
	return createInProcessLinks({ ...options, hash64: checksum });
}
