import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ObjectWriter } from "../../bindings/ports/store-pieces.ts";
import { SnapshotError } from "../../bindings/snapshot/image-error.ts";
import { ChunkPool, StreamedBody } from "../../bindings/snapshot/pack-body.ts";

const test = suite("bodies of packs");

test("a page looked for in a pack that is just being finished is an error that says so, not a mistake of ours", async () => {
	let letFinish: () => void = () => undefined;
	let hasEnded = false;
	const writer: ObjectWriter = {
		write: () => Promise.resolve(),
		readInto: (_, into) => {
			if (hasEnded) throw new TypeError("this writer has ended");
			return Promise.resolve(into.byteLength);
		},
		finish: () => {
			hasEnded = true;
			return new Promise((resolve) => {
				letFinish = resolve;
			});
		},
		abort: () => Promise.resolve(),
	};
	const body = new StreamedBody(writer, new ChunkPool());
	await body.append(new Uint8Array(3 * 1024 * 1024));
	assert.is((await body.read(0, 10)).byteLength, 10);
	const finished = body.finish();
	for (let turn = 0; !hasEnded && turn < 20; turn++) await Promise.resolve();
	const error = await body.read(0, 10).catch((reason: unknown) => reason);
	assert.instance(error, SnapshotError);
	letFinish();
	await finished;
});

test.run();
