/** What only real sockets can show: how wrong peers and dying peers look through the system. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { StreamLink } from "../../../bindings/links/stream-link.ts";
import type { ByteStream } from "../../../bindings/ports/byte-stream.ts";
import { LinkError } from "../../../bindings/ports/link.ts";
import { RECORD_TYPES } from "../../../bindings/wire/record-types.ts";
import { testHash64 } from "./hash.ts";
import type { SocketRuntime } from "./link-over-sockets.ts";
import { prefaceBytes } from "./raw-peer.ts";

async function failure(promise: Promise<unknown>): Promise<LinkError> {
	try {
		await promise;
	} catch (error) {
		if (error instanceof LinkError) return error;
		throw error;
	}
	throw new Error("expected a LinkError, but the call succeeded");
}

/** Runs the suite. */
export function linkPeersContract(name: string, runtime: SocketRuntime): void {
	const test = suite(name);

	const withStreams = (body: (near: ByteStream, far: ByteStream) => Promise<void>) => async () => {
		const listener = await runtime.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
		const connecting = runtime.connect(listener.address);
		const far = await listener.accept();
		const near = await connecting;
		try {
			await body(near, far!);
		} finally {
			for (const stream of [near, far!]) stream.abort(new Error("the test is over"));
			await listener.close();
		}
	};

	test(
		"two versions that have nothing in common both find out",
		withStreams(async (near, far) => {
			const links = [
				new StreamLink(near, { hash64: testHash64, protocol: { min: 1, max: 1 } }),
				new StreamLink(far, { hash64: testHash64, protocol: { min: 2, max: 2 } }),
			];
			const errors = await Promise.all(links.map((link) => failure(link.opened)));
			assert.equal(
				errors.map((error) => error.code),
				["unsupported-version", "unsupported-version"],
			);
		}),
	);

	test(
		"an HTTP client is told apart and dropped",
		withStreams(async (near, far) => {
			const link = new StreamLink(far, { hash64: testHash64 });
			await near.write([new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")]);
			assert.is((await failure(link.opened)).code, "corrupt");
			// It sees the end of the connection, not a link that hangs.
			const target = new Uint8Array(1000);
			const ended = async () => {
				while ((await near.readInto(target)) > 0);
			};
			await ended().catch((error: LinkError) => assert.is(error.code, "lost"));
		}),
	);

	test(
		"a peer that closes its socket without an end record is lost, not closed",
		withStreams(async (near, far) => {
			const link = new StreamLink(far, { hash64: testHash64 });
			await near.write([prefaceBytes()]);
			await link.opened;
			await near.close();
			assert.is((await failure(link.receive())).code, "lost");
			assert.is((await failure(link.send({ type: RECORD_TYPES.go, payload: new Uint8Array(2) }))).code, "lost");
		}),
	);

	test(
		"the last word of a peer that closes at once is heard",
		withStreams(async (near, far) => {
			const [sender, receiver] = [near, far].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
			await sender!.send({ type: RECORD_TYPES.running, payload: new TextEncoder().encode("{}") });
			await sender!.close();
			const frame = await receiver!.receive();
			assert.is(frame.type, RECORD_TYPES.running);
			frame.release();
			assert.is((await failure(receiver!.receive())).code, "closed");
		}),
	);

	test.run();
}
