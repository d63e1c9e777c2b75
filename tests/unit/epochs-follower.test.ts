import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { CheckpointFollower } from "../../bindings/epochs/checkpoint-follower.ts";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveError } from "../../bindings/handover/move-error.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type EncodedBatch, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { checkpointDigest } from "../../bindings/wire/digest.ts";
import type { CheckpointPart } from "../../bindings/wire/records.ts";

const test = suite("a copy that follows by checkpoints");

const PAGES = 8;
const engine = createEngine();
const runner = new MemoryGuest({ pageCount: PAGES });
for (let page = 0; page < PAGES; page++) runner.write(page * PAGE_BYTES, Uint8Array.of(page + 1));

const batchOf = async (...pages: number[]): Promise<EncodedBatch> => {
	const { bytes, checksum } = await runner.pages.encode(Uint32Array.from(pages), { compress: false });
	return { bytes, checksum };
};

/** The records of a checkpoint without state. */
function recordsOf(epoch: number, batches: readonly EncodedBatch[]): CheckpointPart[] {
	const digest = checkpointDigest(
		engine,
		epoch,
		PAGES,
		batches.map(({ checksum }) => checksum),
		new Uint8Array(0),
	);
	return [
		{ type: "epoch", epoch, pageCount: PAGES, stateByteLength: 0 },
		...batches.map((batch) => ({ type: "batch", batch }) as const),
		{ type: "checkpoint", epoch, digest },
	];
}

/** A follower, and what its link hears. */
class Scene {
	readonly copy = new MemoryGuest({ pageCount: PAGES }, "paused");
	readonly follower = new CheckpointFollower({ guest: this.copy });
	readonly acknowledged: number[] = [];
	readonly errors: unknown[] = [];

	constructor(acknowledge: (epoch: number) => Promise<void> = () => Promise.resolve()) {
		this.follower.follow({
			acknowledge: (epoch) => {
				this.acknowledged.push(epoch);
				return acknowledge(epoch);
			},
			fail: (error) => this.errors.push(error),
		});
	}

	take(records: readonly CheckpointPart[]): void {
		for (const record of records) this.follower.take(record);
	}

	/** Whether a protocol error with these words was the only failure. */
	assertRefused(words: RegExp): void {
		assert.is(this.errors.length > 0, true, "nothing was refused");
		const [error] = this.errors;
		assert.ok(error instanceof MoveError && error.code === "protocol" && words.test(error.message), String(error));
		assert.equal(this.acknowledged, []);
	}
}

const turns = async (): Promise<void> => {
	for (let turn = 0; turn < 3; turn++) await systemClock.sleep(0);
};

test("one checkpoint after another is applied and acknowledged", async () => {
	const scene = new Scene();
	scene.take(recordsOf(1, [await batchOf(1, 2), await batchOf(5)]));
	await turns();
	scene.take(recordsOf(3, [await batchOf(1)]));
	await turns();
	assert.equal(scene.errors, []);
	assert.equal(scene.acknowledged, [1, 3]);
	assert.equal([...scene.follower.changedPages].sort(), [1, 2, 5]);
	assert.equal(scene.copy.read(5 * PAGE_BYTES, 1), Uint8Array.of(6));
});

test("a batch that names no page is refused: nothing would bound how many there are", async () => {
	const scene = new Scene();
	const bytes = new Uint8Array(4 << 20);
	const [epoch] = recordsOf(1, []);
	scene.take([epoch!, { type: "batch", batch: { bytes, checksum: hash64(engine, bytes) } }]);
	scene.assertRefused(/4194304 bytes for 0 pages/);
});

test("a batch that is larger than its pages is refused", async () => {
	const scene = new Scene();
	const { bytes } = await batchOf(3);
	const padded = new Uint8Array(1 << 20);
	padded.set(bytes);
	const [epoch] = recordsOf(1, []);
	scene.take([epoch!, { type: "batch", batch: { bytes: padded, checksum: hash64(engine, padded) } }]);
	scene.assertRefused(/1048576 bytes for 1 pages/);
});

test("a checkpoint that begins while the last is being applied is refused, and the last is applied", async () => {
	const scene = new Scene();
	let goOn: () => void = () => undefined;
	const { apply } = scene.copy.standby;
	scene.copy.standby.apply = async (checkpoint) => {
		await new Promise<void>((resolve) => {
			goOn = resolve;
		});
		return apply(checkpoint);
	};
	scene.take(recordsOf(1, [await batchOf(1)]));
	scene.take(recordsOf(2, [await batchOf(1)]));
	scene.assertRefused(/before the last one is committed/);
	goOn();
	await scene.follower.unfollow();
	assert.is(scene.follower.lastEpoch, 1);
});

test("the end of a link does not wait for an acknowledgement that the peer does not take", async () => {
	const scene = new Scene(() => new Promise(() => undefined));
	scene.take(recordsOf(1, [await batchOf(1)]));
	await turns();
	await scene.follower.unfollow();
	assert.is(scene.follower.lastEpoch, 1);
	assert.equal(scene.errors, []);
});

test("checkpoints without end whose acknowledgements are not taken are refused", async () => {
	const scene = new Scene(() => new Promise(() => undefined));
	for (let epoch = 1; epoch <= 20 && scene.errors.length === 0; epoch++) {
		scene.take(recordsOf(epoch, [await batchOf(1)]));
		await turns();
	}
	assert.is(scene.acknowledged.length < 10, true);
	assert.ok(/does not take/.test(String(scene.errors[0])));
});

test.run();
