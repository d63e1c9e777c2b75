// What every platform's `connect` and `listen` keep.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { StreamAddress } from "../../../bindings/ports/byte-stream.ts";
import { LinkError } from "../../../bindings/ports/link.ts";
import { failsWith, failureOf } from "./failures.ts";
import type { TestRuntime } from "./test-runtime.ts";

const NOT_LOOPBACK = [
	"0.0.0.0",
	"::",
	"",
	"*",
	"::ffff:127.0.0.1",
	"::ffff:7f00:1",
	"0:0:0:0:0:0:0:1",
	"[::1]",
	"::1%lo",
	"127.1",
	"127.0.0.1.",
	" 127.0.0.1",
	"127.0.0.1 ",
	"127.0.0.256",
	"127.0.0.01",
	"0x7f.0.0.1",
	"0177.0.0.1",
	"2130706433",
	"128.0.0.1",
	"192.168.1.1",
	"localhost.",
	"LOCALHOST",
	"localhost.localdomain",
	"localhost\0.example.org",
	"example.org",
	"127.0.0.1.example.org",
];

const WRONG_PORTS = [-1, 65_536, 0.5, Number.NaN, Number.POSITIVE_INFINITY];

const tcp = (host: string, port: number): StreamAddress => ({ transport: "tcp", host, port });
const unix = (path: string): StreamAddress => ({ transport: "unix", path });

/** Adds the contract's tests to `test`. */
export function listenerContract(test: ReturnType<typeof suite>, runtime: TestRuntime): void {
	const { platform } = runtime;
	const inFolder = (name: string, body: (folder: string) => Promise<void>) =>
		test(name, async () => {
			const folder = await runtime.temporaryFolder();
			try {
				await body(folder);
			} finally {
				await runtime.removeFolder(folder);
			}
		});

	test("port 0 becomes a real port, and the address leads to the listener", async () => {
		for (const host of ["localhost", "127.0.0.1", "127.1.2.3"]) {
			const listener = await platform.listen(tcp(host, 0));
			assert.is(listener.address.transport, "tcp");
			if (listener.address.transport !== "tcp") return;
			assert.ok(listener.address.port > 0);
			assert.is(listener.address.host, host === "localhost" ? "127.0.0.1" : host);
			const [near, far] = await Promise.all([platform.connect(listener.address), listener.accept()]);
			await near.write([new Uint8Array([7])]);
			assert.is(await far?.readInto(new Uint8Array(4)), 1);
			near.abort("over");
			far?.abort("over");
			await listener.close();
		}
	});

	test("nothing but loopback may be listened on or connected to, however it is spelled", async () => {
		for (const host of NOT_LOOPBACK) {
			const listening = await failsWith(LinkError, "refused", platform.listen(tcp(host, 0)));
			assert.match(listening.message, /stay on this machine/, host);
			const connecting = await failsWith(LinkError, "refused", platform.connect(tcp(host, 9)));
			assert.match(connecting.message, /stay on this machine/, host);
		}
	});

	test("a port that is none is refused by name", async () => {
		for (const port of [...WRONG_PORTS, 0])
			assert.match(String(await failureOf(platform.connect(tcp("localhost", port)))), /RangeError: address\.port/);
		for (const port of WRONG_PORTS)
			assert.match(String(await failureOf(platform.listen(tcp("localhost", port)))), /RangeError: address\.port/);
	});

	test("connecting where nobody listens is refused", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		await listener.close();
		const error = await failsWith(LinkError, "refused", platform.connect(listener.address));
		assert.match(error.message, /127\.0\.0\.1:\d+/);
		assert.ok(error.cause !== undefined);
	});

	test("an address that is taken is refused to the second", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		await failsWith(LinkError, "refused", platform.listen(listener.address));
		await listener.close();
		const again = await platform.listen(listener.address);
		await again.close();
	});

	test("streams are accepted in the order in which they came, also by accepts that came first", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const early = [listener.accept(), listener.accept()];
		const streams = [];
		for (const mark of [1, 2, 3, 4]) {
			const stream = await platform.connect(listener.address);
			await stream.write([new Uint8Array([mark])]);
			streams.push(stream);
		}
		const late = [listener.accept(), listener.accept()];
		for (const [index, accepting] of [...early, ...late].entries()) {
			const stream = await accepting;
			const mark = new Uint8Array(1);
			await stream?.readInto(mark);
			assert.is(mark[0], index + 1);
			stream?.abort("over");
		}
		for (const stream of streams) stream.abort("over");
		await listener.close();
	});

	test("closing ends every accept, and accepted streams live on", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const near = await platform.connect(listener.address);
		const far = await listener.accept();
		const waiting = [listener.accept(), listener.accept()];
		await listener.close();
		await listener.close();
		for (const accepting of waiting) assert.is(await accepting, undefined);
		assert.is(await listener.accept(), undefined);
		await near.write([new Uint8Array(10)]);
		assert.is(await far?.readInto(new Uint8Array(20)), 10);
		near.abort("over");
		far?.abort("over");
	});

	test("a stream that nobody has accepted ends with its listener", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const near = await platform.connect(listener.address);
		await listener.close();
		const seen = await near.readInto(new Uint8Array(1)).catch((error: unknown) => error);
		assert.ok(seen === 0 || (seen instanceof LinkError && seen.code === "lost"), String(seen));
		near.abort("over");
	});

	test("an abort ends connecting with its reason, before and during", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const early = await failsWith(
			LinkError,
			"aborted",
			platform.connect(listener.address, { signal: AbortSignal.abort("no longer wanted") }),
		);
		assert.is(early.cause, "no longer wanted");
		const controller = new AbortController();
		const connecting = platform.connect(listener.address, { signal: controller.signal });
		controller.abort("cancelled");
		assert.is((await failsWith(LinkError, "aborted", connecting)).cause, "cancelled");
		// The system may have made the connection all the same: then it was let go of.
		const accepting = listener.accept();
		for (let turn = 0; turn < 3000; turn++) await platform.clock.sleep(0);
		await listener.close();
		const accepted = await accepting;
		const seen = await accepted?.readInto(new Uint8Array(1)).catch((error: unknown) => error);
		assert.ok(!seen || (seen instanceof LinkError && seen.code === "lost"), String(seen));
		await accepted?.close();
	});

	test("an abort after connecting touches the stream no more", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const controller = new AbortController();
		const [near, far] = await Promise.all([
			platform.connect(listener.address, { signal: controller.signal }),
			listener.accept(),
		]);
		controller.abort("too late");
		await near.write([new Uint8Array(3)]);
		assert.is(await far?.readInto(new Uint8Array(8)), 3);
		near.abort("over");
		far?.abort("over");
		await listener.close();
	});

	inFolder("a unix socket's file comes with the listener and goes with it", async (folder) => {
		const address = unix(`${folder}/socket`);
		await failsWith(LinkError, "refused", platform.connect(address));
		const listener = await platform.listen(address);
		assert.equal(listener.address, address);
		const [near, far] = await Promise.all([platform.connect(address), listener.accept()]);
		await listener.close();
		assert.equal(await runtime.names(folder), []);
		await near.write([new Uint8Array(5)]);
		assert.is(await far?.readInto(new Uint8Array(8)), 5);
		near.abort("over");
		far?.abort("over");
	});

	inFolder("a live unix socket is not taken over", async (folder) => {
		const address = unix(`${folder}/socket`);
		const listener = await platform.listen(address);
		const error = await failsWith(LinkError, "refused", platform.listen(address));
		assert.match(error.message, /somebody listens there/);
		const [near, far] = await Promise.all([platform.connect(address), listener.accept()]);
		assert.ok(far);
		near.abort("over");
		far?.abort("over");
		// The one who asked whether it is alive was a stream too; it is gone.
		await listener.close();
	});

	inFolder("the socket file of a killed listener is replaced, also by several at once", async (folder) => {
		const address = unix(`${folder}/socket`);
		for (let round = 0; round < 5; round++) {
			const holder = await platform.processes.start(runtime.program("listen-until-killed", `${folder}/socket`));
			for await (const line of holder.lines) if (line === "listening") break;
			await failsWith(LinkError, "refused", platform.listen(address));
			holder.kill("SIGKILL");
			await holder.ended;
			assert.ok(await runtime.exists(`${folder}/socket`), "the file outlives its listener");
			const attempts = await Promise.allSettled([1, 2, 3, 4, 5].map(() => platform.listen(address)));
			const listeners = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
			assert.is(
				listeners.length,
				1,
				attempts.map((attempt) => String("reason" in attempt && attempt.reason)).join("; "),
			);
			const near = await platform.connect(address);
			near.abort("over");
			await listeners[0]?.close();
			assert.equal(await runtime.names(folder), []);
		}
	});

	inFolder("a listener that died while taking over a dead one is taken over itself", async (folder) => {
		// The file of a dead listener, and beside it the dead claim on it: what a kill between the two steps leaves.
		const dead = async (path: string) => {
			const holder = await platform.processes.start(runtime.program("listen-until-killed", path));
			for await (const line of holder.lines) if (line === "listening") break;
			holder.kill("SIGKILL");
			await holder.ended;
		};
		await dead(`${folder}/socket`);
		await dead(`${folder}/.${(await runtime.inode(`${folder}/socket`)).toString(36)}`);
		const listener = await platform.listen(unix(`${folder}/socket`));
		assert.equal(await runtime.names(folder), ["socket"]);
		await listener.close();
	});

	inFolder("a path that somebody else has replaced is not removed at close", async (folder) => {
		const listener = await platform.listen(unix(`${folder}/socket`));
		await runtime.removeFolder(`${folder}/socket`);
		await runtime.writeFile(`${folder}/socket`, new Uint8Array([1]));
		await listener.close();
		assert.equal(await runtime.names(folder), ["socket"]);
	});

	inFolder("a file that is no socket is not touched", async (folder) => {
		await runtime.writeFile(`${folder}/file`, new Uint8Array([1, 2, 3]));
		const error = await failsWith(LinkError, "refused", platform.listen(unix(`${folder}/file`)));
		assert.match(error.message, /no socket/);
		assert.is((await runtime.readFile(`${folder}/file`)).byteLength, 3);
		await failsWith(LinkError, "refused", platform.connect(unix(`${folder}/file`)));
	});

	inFolder("a unix path that cannot be one is refused before anything is made", async (folder) => {
		const longest = `${folder}/${"x".repeat(103 - folder.length - 1)}`;
		const listener = await platform.listen(unix(longest));
		assert.ok(await runtime.exists(longest));
		const near = await platform.connect(unix(longest));
		near.abort("over");
		await listener.close();
		for (const path of [`${longest}x`, `${folder}/${"é".repeat(60)}`, "", "\0abstract", `${folder}/a\0b`]) {
			await failsWith(LinkError, "refused", platform.listen(unix(path)));
			await failsWith(LinkError, "refused", platform.connect(unix(path)));
		}
		await failsWith(LinkError, "refused", platform.listen(unix(`${folder}/no/such/folder`)));
		await failsWith(LinkError, "refused", platform.listen(unix(`${folder}/${"y".repeat(101 - folder.length)}/s`)));
		assert.equal(await runtime.names(folder), []);
	});

	test("a program that has closed or dropped all its streams ends by itself", async () => {
		const program = await platform.processes.start(runtime.program("streams-come-and-go"));
		const lines: string[] = [];
		for await (const line of program.lines) lines.push(line);
		assert.equal(await program.ended, { code: 0, signal: undefined }, program.errorText());
		assert.equal(lines, ["all gone"]);
	});

	test("a peer that is killed with bytes unread is lost, and takes nothing else with it", async () => {
		const listener = await platform.listen(tcp("localhost", 0));
		const port = listener.address.transport === "tcp" ? listener.address.port : 0;
		const peer = await platform.processes.start(runtime.program("connect-until-killed", String(port)));
		const stream = await listener.accept();
		for await (const line of peer.lines) if (line === "connected") break;
		await stream?.write([new Uint8Array(100_000)]);
		peer.kill("SIGKILL");
		await peer.ended;
		const target = new Uint8Array(10);
		const seen = await stream?.readInto(target).catch((error: unknown) => error);
		assert.ok(seen instanceof LinkError && seen.code === "lost", String(seen));
		await stream?.close();
		await listener.close();
	});
}
