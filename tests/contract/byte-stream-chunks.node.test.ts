// The way of reading that is left to a Node whose sockets cannot read into an array of ours.
import { createServer, type Socket } from "node:net";
import { suite } from "uvu";
import { NodeByteStream } from "../../bindings/platform/node/byte-stream.ts";
import { connect } from "../../bindings/platform/node/connect.ts";
import { ChunkIntake } from "../../bindings/platform/node/intake.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { byteStreamContract } from "./suites/byte-stream.ts";

const test = suite("byte stream over TCP, in chunks");

byteStreamContract(test, async (body) => {
	const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	if (typeof address !== "object" || address === null) throw new TypeError("no port");
	const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
	const far = await connect({ transport: "tcp", host: "127.0.0.1", port: address.port });
	const socket = await accepted;
	server.close();
	const near = new NodeByteStream(socket, new ChunkIntake(socket));
	const settle = async () => {
		for (let turn = 0; turn < 3000; turn++) await systemClock.sleep(0);
	};
	try {
		await body({ near, far, settle });
	} finally {
		near.abort("the test is over");
		far.abort("the test is over");
	}
});
test.run();
