// Connected pairs over a platform's real sockets.

import { systemClock } from "../../../bindings/platform/system-clock.ts";
import type { StreamAddress } from "../../../bindings/ports/byte-stream.ts";
import type { StreamPair, WithPair } from "./byte-stream.ts";
import type { TestRuntime } from "./test-runtime.ts";

/** Turns of the event loop in which sockets of one process have done all they can without their reader. */
const SETTLING_TURNS = 3000;

/** A pair over TCP on loopback. */
export const withTcpPair =
	(runtime: TestRuntime): WithPair =>
	(body) =>
		withSocketPair(runtime, { transport: "tcp", host: "localhost", port: 0 }, body);

/** A pair over a unix-domain socket in a folder of its own. */
export const withUnixPair =
	(runtime: TestRuntime): WithPair =>
	async (body) => {
		const folder = await runtime.temporaryFolder();
		try {
			await withSocketPair(runtime, { transport: "unix", path: `${folder}/socket` }, body);
		} finally {
			await runtime.removeFolder(folder);
		}
	};

async function withSocketPair(
	{ platform }: TestRuntime,
	address: StreamAddress,
	body: (pair: StreamPair) => Promise<void>,
): Promise<void> {
	const listener = await platform.listen(address);
	const [near, far] = await Promise.all([platform.connect(listener.address), listener.accept()]);
	await listener.close();
	if (far === undefined) throw new TypeError("the listener was closed");
	const settle = async () => {
		for (let turn = 0; turn < SETTLING_TURNS; turn++) await systemClock.sleep(0);
	};
	try {
		await body({ near, far, settle });
	} finally {
		near.abort("the test is over");
		far.abort("the test is over");
	}
}
