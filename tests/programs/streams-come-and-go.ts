// Opens, closes, drops and cancels one of everything a platform offers. It must then end by itself: whatever keeps it
// alive is a leaked handle.
import { print, thisPlatform } from "./this-runtime.ts";

const platform = await thisPlatform();
const failed = (call: Promise<unknown>) => call.then(() => print("a call did not fail"), String);

const listener = await platform.listen({ transport: "tcp", host: "localhost", port: 0 });
const open = async () => {
	const [near, far] = await Promise.all([platform.connect(listener.address), listener.accept()]);
	if (far === undefined) throw new TypeError("the listener was closed");
	return [near, far] as const;
};

const [closing, closed] = await open();
await closing.write([new Uint8Array(1000)]);
await Promise.all([closing.close(), closed.close()]);

const [dropping, dropped] = await open();
const reading = failed(dropping.readInto(new Uint8Array(8)));
const writing = failed(dropping.write([new Uint8Array(64 * 1024 * 1024)]));
dropping.abort("enough");
await Promise.all([reading, writing]);
await failed(
	(async () => {
		const target = new Uint8Array(65_536);
		for (;;) if ((await dropped.readInto(target)) === 0) throw new TypeError("ended");
	})(),
);
await dropped.close();

const [silent, forgotten] = await open();
await silent.close();
forgotten.abort("never read");

await platform.connect(listener.address).then((stream) => stream.close());
const accepting = listener.accept();
await listener.close();
await accepting;
await failed(platform.connect(listener.address));
await failed(platform.connect({ transport: "tcp", host: "127.9.9.9", port: 1 }, { signal: AbortSignal.abort("no") }));

const controller = new AbortController();
const sleeping = failed(platform.clock.sleep(3_600_000, controller.signal));
controller.abort("awake");
await sleeping;
print("all gone");
