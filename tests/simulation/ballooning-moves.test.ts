/** Pages in the balloon are left out by every technique, are zero at the target, and the digest agrees. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { BallooningWorld, TECHNIQUES } from "./ballooning-world.ts";

const test = suite("moves of a guest with a balloon");
const PAGES = 400;
const USED = 60;

const names = Object.keys(TECHNIQUES) as (keyof typeof TECHNIQUES)[];

for (const technique of names)
	test(`${technique} leaves out what is in the balloon: 60 pages in use, 5 % of the rest as a buffer`, async () => {
		const world = new BallooningWorld(1, PAGES);
		await world.clock.run(async () => {
			world.allocate(USED);
			const ballooning = startSelfBallooning({ guest: world.guest, clock: world.clock });
			await world.clock.sleep(5001);
			await ballooning.stop();
			assert.is(ballooning.balloonPages, Math.floor((PAGES - USED) * 0.95));
			const { result, target } = await world.move(technique);
			assert.is(result.outcome, "moved", JSON.stringify(result));
			const owned = PAGES - ballooning.balloonPages;
			const sent = result.metrics.pagesTransferred;
			assert.ok(sent <= owned, `${sent} pages sent, ${owned} are not in the balloon`);
			for (const [page, value] of world.used) assert.is(target.read(page * PAGE_BYTES, 1)[0], value);
			const zeros = Array.from({ length: PAGES }, (_, page) =>
				target.read(page * PAGE_BYTES, PAGE_BYTES).every((byte) => byte === 0),
			).filter(Boolean).length;
			assert.is(zeros, ballooning.balloonPages);
		});
	});

for (const technique of ["pre-copy", "hybrid"] as const)
	test(`${technique} while the balloon grows and shrinks: every page arrives as it was at the pause`, async () => {
		for (let seed = 1; seed <= 12; seed++) {
			const world = new BallooningWorld(seed, PAGES);
			await world.clock.run(async () => {
				world.allocate(USED);
				await world.guest.balloon.inflate(world.random.nextU32() % 300);
				let before = new Uint8Array(0);
				const pause = world.guest.pause.bind(world.guest);
				world.guest.pause = async () => {
					before = world.guest.read(0, PAGES * PAGE_BYTES);
					await pause();
				};
				const { result, target } = await world.move(technique, async () => {
					for (let step = 0; world.guest.running && step < 200; step++) {
						const act = world.random.nextU32() % 4;
						if (act === 0) await world.guest.balloon.inflate(world.random.nextU32() % 40);
						else if (act === 1) await world.guest.balloon.deflate(world.random.nextU32() % 40);
						else if (act === 2) world.allocate(world.random.nextU32() % 10);
						else world.release(world.random.nextU32() % 10);
						await world.clock.sleep(0.3);
					}
				});
				assert.is(result.outcome, "moved", `seed ${seed}: ${JSON.stringify(result)}`);
				assert.equal(target.read(0, PAGES * PAGE_BYTES), before, `seed ${seed}`);
			});
		}
	});

test("a page in the balloon cannot be written to, and the balloon of a paused guest does not change", async () => {
	const world = new BallooningWorld(3, 16);
	const [page] = await world.guest.balloon.inflate(1);
	assert.throws(
		() => world.guest.write(page! * PAGE_BYTES, Uint8Array.of(1)),
		(error: unknown) => error instanceof GuestError && error.code === "state",
	);
	await world.guest.pause();
	for (const change of [world.guest.balloon.inflate(1), world.guest.balloon.deflate(1)]) {
		const error = await change.catch((reason: unknown) => reason);
		assert.ok(error instanceof GuestError && error.code === "not-running");
	}
});

test.run();
