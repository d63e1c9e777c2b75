/** The link contract over real sockets of one runtime. */
import { StreamLink } from "../../../bindings/links/stream-link.ts";
import type { ByteStream, ByteStreamListener, StreamAddress } from "../../../bindings/ports/byte-stream.ts";
import { testHash64 } from "./hash.ts";
import { linkContract, type WithLinks } from "./link.ts";

/** What a runtime gives. */
export interface SocketRuntime {
	connect(address: StreamAddress): Promise<ByteStream>;
	listen(address: StreamAddress): Promise<ByteStreamListener>;
}

/** An address that nobody listens on, and what to do when the test is over. */
export interface TestAddress {
	readonly address: StreamAddress;
	release?(): Promise<void>;
}

/** Runs the suite. */
export function linkContractOverSockets(
	name: string,
	runtime: SocketRuntime,
	openAddress: () => Promise<TestAddress>,
): void {
	const withLinks: WithLinks = async (options, body) => {
		const place = await openAddress();
		const listener = await runtime.listen(place.address);
		const connecting = runtime.connect(listener.address);
		const accepted = await listener.accept();
		const links = [await connecting, accepted!].map(
			(stream) => new StreamLink(stream, { hash64: testHash64, ...options }),
		) as [StreamLink, StreamLink];
		try {
			await Promise.all(links.map((link) => link.opened));
			await body(...links);
		} finally {
			for (const link of links) link.abort(new Error("the test is over"));
			await listener.close();
			await place.release?.();
		}
	};
	linkContract(name, withLinks);
}
