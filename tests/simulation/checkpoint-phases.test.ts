/**
 * Post-copy whose target's changes come back as checkpoints: the target dies, is cut off, or is frozen, and the source goes on
 * from the last checkpoint that it has all of, when it has the right to.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { activePush, demandPaging } from "../../bindings/policies/push-order.ts";
import { CheckpointWorld, LEASE_MS } from "./checkpoint-world.ts";
import { PAGES } from "./two-hosts.ts";

const test = suite("post-copy with checkpoints");

const codeOf = (result: PostCopyResult): string =>
	result.outcome === "moved" ? "none" : `${result.error.code}: ${result.error.message}`;

/** Demand paging: pages are missing for as long as the test wants. */
const SLOWLY = { push: demandPaging(200) };

for (const technique of ["post-copy", "hybrid"] as const)
	for (const grows of [false, true])
		test(`${technique} that nothing disturbs moves${grows ? " a guest that grows" : ""}, and all that it said is heard in order`, async () => {
			const world = new CheckpointWorld({ seed: 1, grows });
			await world.run(async () => {
				const result = await world.move(technique, { push: activePush(), verification: "full" });
				assert.is(result.outcome, "moved", codeOf(result));
				assert.equal(world.runners, [world.target]);
				await world.clock.sleep(20);
				world.compare(world.target);
				const { checkpoints } = result.metrics.paging!;
				assert.ok(checkpoints !== undefined && checkpoints.checkpoints > 1, JSON.stringify(checkpoints));
				assert.ok(
					world.heard.every((step, i) => i === 0 || step > world.heard[i - 1]!),
					"in order, each once",
				);
				assert.ok(world.heard.at(-1)! >= world.steps - 20, "nothing is held once the move is over");
				assert.is(world.target.gate.facts.holding, false);
			});
			assert.equal(world.violations, []);
		});

test("output waits for its checkpoint: nothing is heard that the source does not have", async () => {
	const world = new CheckpointWorld({ seed: 2 });
	await world.run(async () => {
		const moving = world.move("post-copy", { ...SLOWLY, checkpoints: { minMs: 30, maxMs: 30 } });
		const [received] = await Promise.all(world.receptions);
		assert.ok(received?.outcome === "running" && received.paging !== undefined);
		const heardAtSwitch = world.heard.length;
		while (world.target.gate.facts.heldCount === 0) await world.clock.sleep(0.1);
		const { paging } = received;
		while (paging.checkpoints!.committed === 0) {
			assert.is(world.heard.length, heardAtSwitch, "held");
			await world.clock.sleep(0.1);
		}
		assert.ok(world.heard.length > heardAtSwitch, "released by the first checkpoint");
		assert.is((await moving).outcome, "moved");
	});
	assert.equal(world.violations, []);
});

/** Checkpoints that guests were revived from. */
const epochs = new Set<number>();
for (const after of [0, 5, 14, 25, 38, 50])
	test(`the target dies after ${after} steps of paging: the caller's word revives the guest at the source`, async () => {
		const world = new CheckpointWorld({ seed: 10 + after, grows: after % 2 === 0 });
		await world.run(async () => {
			const at = { phase: "paging" as const, event: () => world.killTarget(), after };
			const result = await world.move("post-copy", {}, at);
			assert.ok(result.outcome === "interrupted", codeOf(result));
			assert.equal(world.runners, [], "nothing activates by guessing");
			const revived = await world.revive(result.paging);
			assert.ok(revived.outcome === "revived", codeOf(revived));
			epochs.add(revived.epoch);
			assert.equal(world.runners, [world.guest]);
			const before = world.steps;
			await world.clock.sleep(30);
			assert.ok(world.steps > before, "it works on");
			world.compare(world.guest);
			assert.is(await world.sourceLedger.read("m1"), "kept");
			// It can be moved again.
			world.reconnect();
			const again = await world.move("post-copy", { moveId: "m2" });
			assert.is(again.outcome, "moved", codeOf(again));
		});
		assert.equal(world.violations, []);
	});

test("guests were revived from the switch, and from several checkpoints", () => {
	assert.ok(epochs.has(0) && epochs.size > 3, [...epochs].join(" "));
});

const PHASES: readonly MovePhase[] = ["handshake", "set-up", "pause", "final-round", "state", "verify", "release"];
for (const phase of PHASES)
	test(`the target dies in ${phase}: the guest stays, as in every move`, async () => {
		const world = new CheckpointWorld({ seed: 40 });
		await world.run(async () => {
			const result = await world.move("post-copy", {}, { phase, event: () => world.killTarget() });
			assert.is(result.outcome, "kept", codeOf(result));
			assert.equal(world.runners, [world.guest]);
		});
		assert.equal(world.violations, []);
	});

test("the target dies around go: unconfirmed, and the caller's word revives the guest as it was at the switch", async () => {
	const world = new CheckpointWorld({ seed: 41 });
	await world.run(async () => {
		const at = { phase: "confirm" as const, event: () => void world.clock.sleep(0.6).then(() => world.killTarget()) };
		const result = await world.move("post-copy", {}, at);
		assert.ok(result.outcome === "unconfirmed" && result.paging !== undefined, codeOf(result));
		const revived = await world.revive(result.paging);
		assert.ok(revived.outcome === "revived" && revived.epoch === 0, codeOf(revived));
		assert.equal(world.runners, [world.guest]);
		await world.clock.sleep(20);
		world.compare(world.guest);
	});
	assert.equal(world.violations, []);
});

for (const [event, keeper] of [
	["cut off", "refuses"],
	["cut off", "never answers"],
	["frozen", "refuses"],
	["frozen", "never answers"],
] as const)
	test(`a target that is ${event} stops and falls silent when its lease ends (the keeper ${keeper}), and only then the source revives`, async () => {
		const world = new CheckpointWorld({ seed: 50, leased: true, receive: { stallMs: 30 } });
		await world.run(async () => {
			const at = {
				phase: "paging" as const,
				event: () => (event === "frozen" ? world.freeze("b") : world.cut()),
				after: 6,
			};
			const result = await world.move("post-copy", { ...SLOWLY, deadlines: { stallMs: 30 } }, at);
			assert.ok(result.outcome === "interrupted", codeOf(result));
			const [received] = await Promise.all(world.receptions);
			assert.ok(received?.outcome === "running" && received.paging !== undefined);
			// The target is alive, and renews its lease: the source may not.
			const tooEarly = await world.revive(result.paging, LEASE_MS * 2);
			assert.is(tooEarly.outcome, "interrupted");
			assert.match(codeOf(tooEarly), /lease/);
			// The keeper of the lease does not hear of the target any more.
			world.lease!.renew = () =>
				keeper === "refuses" ? Promise.reject(new Error("out of reach")) : new Promise(() => undefined);
			const revived = await world.revive(result.paging, LEASE_MS * 3);
			assert.ok(revived.outcome === "revived", codeOf(revived));
			assert.ok(revived.grant !== undefined && revived.grant.token > 1);
			assert.equal(world.runners, [world.guest]);
			assert.is((await received.paging.ended).outcome, "fenced");
			const target = world.target;
			assert.not(target.running);
			// A link that comes late finds nothing to go on with.
			const late = await received.paging.takeOver(world.open("b"));
			assert.is(late.outcome, "fenced");
			// Nor does a caller who gives the source up: what is held may never leave.
			const { length } = world.heard;
			assert.is((await received.paging.abandon("zeros")).outcome, "fenced");
			assert.is(target.gate.facts.holding, true);
			assert.not(target.running);
			await world.clock.sleep(200);
			world.compare(world.guest);
			assert.is((await received.paging.ended).outcome, "fenced");
			assert.is(world.heard.length, length, "the program waits for a page that will never come");
			assert.is((await received.paging.abandon("discard")).outcome, "lost");
			await world.clock.sleep(20);
			assert.ok(world.heard.length > length, "the revived guest goes on");
		});
		assert.equal(world.violations, []);
	});

test("a link that comes back in time goes on: nothing is lost, nothing is said twice", async () => {
	for (const leased of [false, true])
		for (const after of [2, 7, 15, 25]) {
			const world = new CheckpointWorld({ seed: 60 + after, leased, grows: true });
			await world.run(async () => {
				const at = { phase: "paging" as const, event: () => world.cut(), after };
				let result = await world.move("post-copy", { verification: "full" }, at);
				assert.is(result.outcome, "interrupted", codeOf(result));
				await world.clock.sleep(100);
				const heard = world.heard.length;
				await world.clock.sleep(20);
				assert.is(world.heard.length, heard, "nothing leaves without the source");
				for (let tries = 0; tries < 3 && result.outcome === "interrupted"; tries++)
					result = await world.recover(result.paging);
				assert.is(result.outcome, "moved", codeOf(result));
				assert.equal(world.runners, [world.target]);
				await world.clock.sleep(20);
				world.compare(world.target);
				assert.ok(
					world.heard.every((step, i) => i === 0 || step > world.heard[i - 1]!),
					"in order, each once",
				);
			});
			assert.equal(world.violations, []);
		}
});

test("a revived guest's target is told nothing more, and a move without checkpoints has nothing to revive", async () => {
	const world = new CheckpointWorld({ seed: 70 });
	await world.run(async () => {
		const result = await world.move(
			"post-copy",
			{ checkpoints: false },
			{ phase: "paging", event: () => world.cut(), after: 3 },
		);
		assert.ok(result.outcome === "interrupted");
		const error = await result.paging.revive().catch((reason: unknown) => reason);
		assert.instance(error, TypeError);
		assert.match(String(error), /no checkpoints/);
		world.killTarget();
		assert.is((await result.paging.abandon()).outcome, "lost");
	});
});

test("output beyond the limit stops the program, not the guest", async () => {
	const world = new CheckpointWorld({ seed: 80, receive: { heldOutputBytes: 16 } });
	await world.run(async () => {
		const result = await world.move("post-copy", { checkpoints: { minMs: 5, maxMs: 50 } });
		assert.is(result.outcome, "moved", codeOf(result));
		await world.clock.sleep(5);
		world.compare(world.target);
	});
	assert.equal(world.violations, []);
});

test("wrong intervals are refused before anything moves", async () => {
	const world = new CheckpointWorld({ seed: 90 });
	await world.run(async () => {
		for (const checkpoints of [{ minMs: -1 }, { minMs: 50, maxMs: 10 }, { maxMs: 1e9 }])
			assert.instance(await world.move("post-copy", { checkpoints }).catch((error: unknown) => error), RangeError);
	});
	assert.is(world.guest.pageCount, PAGES);
});

test.run();
