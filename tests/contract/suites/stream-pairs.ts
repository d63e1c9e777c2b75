// Connected pairs over a platform's real sockets.

import { systemClock } from "../../../bindings/platform/system-clock.ts";
import type { StreamAddress } from "../../../bindings/ports/byte-stream.ts";
import type { StreamPair } from "./byte-stream.ts";
import type { TestRuntime } from "./test-runtime.ts";

/** Turns of the event loop in which sockets of one process have done all they can without their reader. */
const SETTLING_TURNS = 3000;

/** A pair over TCP on loopback. */
export function tcpPair(runtime: TestRuntime): Promise<StreamPair> {
	return connectPair(runtime, { transport: "tcp", host: "localhost", port: 0 });
}

/** A pair over a unix-domain socket in a folder of its own. */
export async function unixPair(runtime: TestRuntime): Promise<StreamPair> {
	const folder = await runtime.temporaryFolder();
	const pair = await connectPair(runtime, { transport: "unix", path: `${folder}/socket` });
	return {
		...pair,
		dispose: async () => {
			await pair.dispose();
			await runtime.removeFolder(folder);
		},
	};
}

async function connectPair({ platform }: TestRuntime, address: StreamAddress): Promise<StreamPair> {
	const listener = await platform.listen(address);
	const [near, far] = await Promise.all([platform.connect(listener.address), listener.accept()]);
	await listener.close();
	if (far === undefined) throw new TypeError("the listener was closed");
	return {
		near,
		far,
		settle: async () => {
			for (let turn = 0; turn < SETTLING_TURNS; turn++) await systemClock.sleep(0);
		},
		dispose: async () => {
			near.abort("the test is over");
			far.abort("the test is over");
		},
	};
}
