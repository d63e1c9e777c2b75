/** Post-copy and hybrid in virtual time while nothing goes wrong: what travels, when, how often, and what is reported. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { PAGES, PagingWorld } from "./paging-world.ts";

const test = suite("post-copy");

const ORDERS: readonly PushOrder[] = [
	activePush(),
	prepaging(),
	prepaging({ pivots: 1, direction: "forward" }),
	prepaging({ pivots: 3, direction: "backward" }),
	prepaging({ order: "turns" }),
	demandPaging(40),
];

for (const technique of ["post-copy", "hybrid", "pre-copy"] as const)
	test(`${technique} moves the guest while it works, and every page travels once after the switch`, async () => {
		for (const push of ORDERS) {
			const world = new PagingWorld({ seed: 1 });
			await world.run(async () => {
				const result = await world.move(technique, { push });
				assert.is(result.outcome, "moved", JSON.stringify(result));
				const [received] = await Promise.all(world.receptions);
				assert.is(received?.outcome, "running");
				const end = received?.outcome === "running" ? await received.paging?.ended : undefined;
				assert.is(end?.outcome, "complete");
				assert.equal(world.runners, [world.target]);
				world.compare(world.target);
				world.checkOnce();
				assert.equal(world.target.getState(), Uint8Array.of(1, 2, 3));
				assert.ok(world.steps > 3, `${world.steps} steps at the target`);
				const { paging } = result.metrics;
				assert.ok(paging !== undefined && paging.owedPages > 0);
				assert.is(paging.networkFaults + paging.pushedPages, paging.owedPages);
			});
			assert.equal(world.violations, [], JSON.stringify(push));
		}
	});

test("the guest runs at the target long before its pages have come", async () => {
	const world = new PagingWorld({ seed: 2 });
	await world.run(async () => {
		const { outcome, metrics } = await world.move("post-copy");
		assert.is(outcome, "moved");
		assert.ok(metrics.downtimeMs < 10, `downtime ${metrics.downtimeMs} ms`);
		assert.ok(metrics.resumeMs > 40, `resume ${metrics.resumeMs} ms`);
		assert.is(metrics.totalMs, metrics.preparationMs + metrics.downtimeMs + metrics.resumeMs);
		assert.equal(world.phases.slice(-2), ["paging", "done"]);
	});
	assert.equal(world.violations, []);
});

test("zero pages never travel, unless they are asked to", async () => {
	for (const leaveOutZeroPages of [true, false]) {
		const world = new PagingWorld({ seed: 3, strands: 0 });
		await world.run(async () => {
			const { metrics } = await world.move("post-copy", { leaveOutZeroPages });
			assert.is(metrics.paging?.owedPages, leaveOutZeroPages ? PAGES - 8 : PAGES);
			assert.is(metrics.zeroPages, leaveOutZeroPages ? 0 : 8);
			world.compare(world.target);
		});
		assert.equal(world.violations, []);
	}
});

test("pinned pages travel inside the switch", async () => {
	const pinned = [0, 5, 63];
	const world = new PagingWorld({ seed: 4, pinned, strands: 0 });
	await world.run(async () => {
		const { outcome, metrics } = await world.move("post-copy", { leaveOutZeroPages: false });
		assert.is(outcome, "moved");
		assert.is(metrics.paging?.owedPages, PAGES - 3);
		for (const page of pinned) assert.not.ok(world.installed.has(page));
		world.compare(world.target);
	});
	assert.equal(world.violations, []);
});

test("demand paging sends nothing that the guest has not touched", async () => {
	const world = new PagingWorld({ seed: 5, strands: 0 });
	await world.run(async () => {
		const moved = world.move("post-copy", { push: demandPaging() });
		const [received] = await Promise.all(world.receptions);
		assert.is(received?.outcome, "running");
		await world.clock.sleep(1000);
		assert.is(world.installed.size, 0);
		for (let page = 0; page < PAGES; page++) await world.target.touch(page * 4096, 1);
		const { outcome, metrics } = await moved;
		assert.is(outcome, "moved");
		assert.is(metrics.networkFaults, PAGES - 8);
		assert.is(metrics.paging?.pushedPages, 0);
		assert.is(metrics.paging?.inFlightWaits, 0);
	});
	assert.equal(world.violations, []);
});

test("the memory hashed in full at the end is the memory that arrived", async () => {
	for (const technique of ["post-copy", "hybrid"] as const) {
		const world = new PagingWorld({ seed: 6 });
		await world.run(async () => {
			const { outcome } = await world.move(technique, { verification: "full" });
			assert.is(outcome, "moved");
			world.compare(world.target);
		});
		assert.equal(world.violations, []);
	}
});

test.run();
