/**
 * What fails at the source once the guest is the target's changes nothing about that: the caller is told `moved`, with what
 * failed; or `interrupted`, and goes on.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { PagingWorld } from "./paging-world.ts";

const test = suite("ends of moves with trouble at the source");

const failure = new Error("out of order");

/** Breaks the end of the cursors that note the order of use. */
function breakOrder(world: PagingWorld, close: () => Promise<void>): void {
	const { order } = world.guest;
	const open = order.open.bind(order);
	order.open = async () => ({ ...(await open()), close });
}

for (const [name, close] of [
	["fails", () => Promise.reject(failure)],
	["never ends", () => new Promise<void>(() => undefined)],
] as const)
	test(`an order of use whose end ${name} does not hold up the pages, and the guest has moved`, async () => {
		const world = new PagingWorld({ seed: 71 });
		breakOrder(world, close);
		await world.run(async () => {
			const result = await world.move("post-copy", { order: "lru" });
			assert.is(result.outcome, "moved");
			assert.ok(result.metrics.paging !== undefined && result.metrics.paging.order === "uses");
			await Promise.all(world.receptions);
			world.compare(world.target);
		});
		assert.equal(world.violations, []);
	});

test("an order of use whose end fails leaves a kept guest as it is", async () => {
	const world = new PagingWorld({ seed: 72 });
	breakOrder(world, () => Promise.reject(failure));
	await world.run(async () => {
		const result = await world.move("post-copy", { order: "lru" }, { phase: "verify", event: () => world.cut() });
		assert.ok(result.outcome === "kept" && result.error.code === "link-lost");
		assert.equal(world.runners, [world.guest]);
	});
});

test("callers that cannot be turned away interrupt the paging, which goes on over the next link", async () => {
	const world = new PagingWorld({ seed: 73 });
	let calls = 0;
	const turnCallsAway = () => {
		if (calls++ === 0) throw failure;
	};
	Object.assign(world.guest, { turnCallsAway });
	await world.run(async () => {
		const result = await world.move("post-copy");
		assert.ok(result.outcome === "interrupted" && result.error.cause === failure, result.outcome);
		assert.is((await world.recover(result.paging)).outcome, "moved");
		world.compare(world.target);
	});
	assert.is(calls, 2);
	assert.equal(world.violations, []);
});

for (const technique of ["pre-copy", "post-copy"] as const)
	test(`${technique}: a copy that cannot be discarded is said beside 'moved'`, async () => {
		const world = new PagingWorld({ seed: 74 });
		const { guest, clock, random } = world;
		const discard = guest.discard.bind(guest);
		guest.discard = () => discard().then(() => Promise.reject(failure));
		await world.run(async () => {
			if (technique === "pre-copy") world.listen();
			const result =
				technique === "post-copy"
					? await world.move(technique)
					: await preCopy({ guest, clock, random, link: world.open("a") }, { whenNotConverging: "switch-over" });
			assert.ok(result.outcome === "moved" && result.trouble?.cause === failure, result.outcome);
			assert.equal(world.runners, [world.target]);
		});
	});

test("a caller whose last progress report throws is told that the guest has moved all the same", async () => {
	const world = new PagingWorld({ seed: 75 });
	await world.run(async () => {
		world.listen();
		const { guest, clock, random } = world;
		const onProgress = ({ phase }: { readonly phase: string }): void => {
			if (phase === "done") throw failure;
		};
		const link = world.open("a");
		const result = await preCopy({ guest, clock, random, link }, { whenNotConverging: "switch-over", onProgress });
		assert.ok(result.outcome === "moved" && result.trouble?.cause === failure, result.outcome);
	});
});

test.run();
