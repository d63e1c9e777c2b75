// A paused QEMU's batch: made in room that was there before the pause, from the file whichever worker's pages they are.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { SimulatedRam } from "../qemu/simulated-ram.ts";

const test = suite("qemu guest: a batch in a pause");
const PAGES = 256;
/** Of both workers. */
const DIRTY = [3, 4, 130, 255];

/** How often an engine's memory grows meanwhile. */
async function growths(work: () => Promise<void>): Promise<number> {
	const { grow } = WebAssembly.Memory.prototype;
	let count = 0;
	WebAssembly.Memory.prototype.grow = function (delta) {
		count++;
		return grow.call(this, delta);
	};
	try {
		await work();
		return count;
	} finally {
		WebAssembly.Memory.prototype.grow = grow;
	}
}

test("is made without more memory, and holds the pages of all workers as they are", async () => {
	const machine = new SimulatedRam(PAGES);
	const ram = await machine.open();
	const cursor = await ram.open();
	for (const page of DIRTY) machine.write(page, page);
	machine.isPaused = true;
	await cursor.harvest();
	const decoder = new BatchDecoder(createEngine());
	let bytes = new Uint8Array(0);
	const grown = await growths(async () => {
		const batch = await ram.encode(Uint32Array.from(DIRTY), { compress: false });
		bytes = batch.bytes.slice();
		batch.release();
	});
	assert.is(grown, 0);
	const target = new Uint8Array(PAGES * 4096);
	decoder.decode(bytes, { pageCount: PAGES }).install(target);
	for (const page of DIRTY) assert.is(target[page * 4096], page);
	await cursor.close();
	await ram.close();
});

test.run();
