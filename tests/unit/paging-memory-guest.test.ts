import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";

const test = suite("memory guest with missing pages");

let nowMs = 0;

/** A target whose pages 1 and 2 of 4 are missing, its source, and what it asks for. */
async function scene(): Promise<{ source: MemoryGuest; target: MemoryGuest; asked: number[] }> {
	const source = new MemoryGuest({ pageCount: 4 });
	for (let page = 0; page < 4; page++) source.write(page * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(page + 1));
	await source.pause();
	const target = new MemoryGuest({ pageCount: 4, maximumPageCount: 8, now: () => nowMs }, "paused");
	await target.pages.apply(await source.pages.encode(Uint32Array.of(0, 3), { compress: false }));
	const asked: number[] = [];
	await target.faulting.begin(Uint8Array.of(0b0110), (page) => asked.push(page));
	await target.resume();
	return { source, target, asked };
}

function missing(work: () => unknown): void {
	assert.throws(work, (error: unknown) => error instanceof GuestError && error.code === "missing");
}

test("what cannot wait fails, and changes nothing", async () => {
	const { target } = await scene();
	missing(() => target.read(PAGE_BYTES, 1));
	missing(() => target.write(PAGE_BYTES - 2, new Uint8Array(4)));
	assert.equal(target.read(PAGE_BYTES - 2, 2), Uint8Array.of(1, 1), "the part that was here is as it was");
	target.write(3 * PAGE_BYTES, Uint8Array.of(9));
});

test("a page that several wait for is asked for once, and all go on", async () => {
	const { source, target, asked } = await scene();
	const reads = [
		target.load(PAGE_BYTES, 1),
		target.load(PAGE_BYTES + 5, 1),
		target.store(PAGE_BYTES, Uint8Array.of(7)),
	];
	assert.equal(asked, [1]);
	nowMs += 3;
	await target.faulting.install(await source.pages.encode(Uint32Array.of(1), { compress: false }), () => undefined);
	await Promise.all(reads);
	const { faults, blockedMs, latenciesMs, touchedPages } = target.faulting.faultReport();
	assert.equal([faults, blockedMs, latenciesMs, touchedPages], [1, 3, [3], 1]);
	assert.equal(target.read(PAGE_BYTES, 1), Uint8Array.of(7));
});

test("waits that overlap are one time of standing still", async () => {
	const { source, target } = await scene();
	const first = target.touch(PAGE_BYTES, 1);
	nowMs += 2;
	const second = target.touch(2 * PAGE_BYTES, 1);
	nowMs += 2;
	assert.is(target.faulting.faultReport().blockedMs, 4, "those who still wait count");
	const batch = await source.pages.encode(Uint32Array.of(1, 2), { compress: false });
	await target.faulting.install(batch, () => undefined);
	await Promise.all([first, second]);
	const { blockedMs, latenciesMs } = target.faulting.faultReport();
	assert.is(blockedMs, 4);
	assert.equal(latenciesMs, [4, 2]);
});

test("an access over several missing pages waits for one after another", async () => {
	const { source, target, asked } = await scene();
	const reading = target.load(PAGE_BYTES - 1, PAGE_BYTES + 2);
	assert.equal(asked, [1]);
	for (const page of [1, 2])
		await target.faulting.install(
			await source.pages.encode(Uint32Array.of(page), { compress: false }),
			() => undefined,
		);
	assert.equal(asked, [1, 2]);
	assert.is((await reading).byteLength, PAGE_BYTES + 2);
});

test("pages that come into being while others are missing are there at once", async () => {
	const { target, asked } = await scene();
	target.growMemory(8);
	assert.equal(await target.load(7 * PAGE_BYTES, 2), Uint8Array.of(0, 0));
	assert.equal(asked, []);
});

test("uses are noted only while somebody looks, and the last comes first", async () => {
	const { target } = await scene();
	target.read(0, 1);
	const cursor = await target.order.open();
	assert.equal([...(await cursor.recentFirst())], []);
	target.read(0, 1);
	target.write(3 * PAGE_BYTES, Uint8Array.of(1));
	assert.equal([...(await cursor.recentFirst())], [3, 0]);
	const other = await target.order.open();
	target.read(0, 1);
	assert.equal([...(await other.recentFirst())], [0, 3], "what an earlier cursor has seen is shared");
	await cursor.close();
	await cursor.close();
	target.read(3 * PAGE_BYTES, 1);
	assert.equal([...(await other.recentFirst())], [3, 0]);
	await other.close();
});

test("a step waits until the guest runs, is done in one piece, and fails with a guest that is gone", async () => {
	const guest = new MemoryGuest({ pageCount: 1 });
	await guest.pause();
	const done: string[] = [];
	const step = guest.step(() => {
		guest.write(0, Uint8Array.of(7));
		done.push("step");
		return guest.read(0, 1)[0];
	});
	await new Promise((resolve) => setTimeout(resolve, 0));
	assert.equal(done, []);
	const resuming = guest.resume();
	// Paused again before the step has its turn: it waits on.
	const pausing = guest.pause();
	await Promise.all([resuming, pausing]);
	await new Promise((resolve) => setTimeout(resolve, 0));
	assert.equal(done, []);
	await guest.resume();
	assert.is(await step, 7);
	assert.equal(done, ["step"]);
	await guest.pause();
	const late = guest.step(() => done.push("late"));
	await guest.discard();
	try {
		await late;
		assert.unreachable("the guest is gone");
	} catch (error) {
		assert.ok(error instanceof GuestError && error.code === "gone", String(error));
	}
	assert.equal(done, ["step"]);
});

test.run();
