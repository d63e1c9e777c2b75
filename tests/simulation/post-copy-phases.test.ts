/**
 * Every kind of end at every phase of a post-copy and a hybrid move, in virtual time: before *go* the guest stays; around
 * it nobody guesses; after it both sides keep what they have, and another link goes on.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MOVE_PHASES, type MovePhase } from "../../bindings/handover/move-error.ts";
import { decideMove } from "../../bindings/migration/resolve.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { PagingWorld } from "./paging-world.ts";

const test = suite("post-copy cut off at every phase");

const BEFORE_GO: readonly MovePhase[] = MOVE_PHASES.filter((phase) => !["check", "go", "confirm"].includes(phase));
const TECHNIQUES = ["post-copy", "hybrid"] as const;

const codeOf = (result: PostCopyResult): string => (result.outcome === "moved" ? "none" : result.error.code);

/** Goes on until the move is complete, over as many links as it takes. */
async function finish(world: PagingWorld, result: PostCopyResult): Promise<PostCopyResult> {
	let last = result;
	for (let tries = 0; tries < 5 && last.outcome === "interrupted"; tries++) last = await world.recover(last.paging);
	return last;
}

function checkMoved(world: PagingWorld, result: PostCopyResult): void {
	assert.is(result.outcome, "moved", codeOf(result));
	assert.equal(world.runners, [world.target]);
	assert.is.not(world.target, world.guest);
	world.compare(world.target);
	world.checkInstalledOnce();
	assert.is(world.receivers.size, 0);
}

for (const technique of TECHNIQUES) {
	test(`${technique} passes its phases in order`, async () => {
		const world = new PagingWorld({ seed: 1 });
		await world.run(async () => {
			checkMoved(world, await world.move(technique));
			assert.equal(world.phases, [...MOVE_PHASES.filter((phase) => phase !== "check"), "paging", "done"]);
		});
		assert.equal(world.violations, []);
	});

	for (const phase of BEFORE_GO) {
		test(`${technique} cancelled in ${phase} keeps the guest running at the source`, async () => {
			const world = new PagingWorld({ seed: 2 });
			const stop = new AbortController();
			await world.run(async () => {
				const at = { phase, event: () => stop.abort() };
				const result = await world.move(technique, { signal: stop.signal }, at);
				assert.is(result.outcome, "kept");
				assert.is(codeOf(result), "cancelled");
				const [received] = await Promise.all(world.receptions);
				assert.is(received?.outcome, "discarded");
				assert.equal(world.runners, [world.guest]);
				world.compare(world.guest);
			});
			assert.equal(world.violations, []);
		});

		test(`${technique} keeps the source running when the link drops in ${phase}`, async () => {
			const world = new PagingWorld({ seed: 3 });
			await world.run(async () => {
				const result = await world.move(technique, {}, { phase, event: () => world.cut() });
				assert.is(result.outcome, "kept");
				assert.is(codeOf(result), "link-lost");
				await Promise.all(world.receptions);
				assert.equal(world.runners, [world.guest]);
				world.compare(world.guest);
			});
			assert.equal(world.violations, []);
		});

		test(`${technique} keeps the source when the target freezes in ${phase}, within the phase's deadline`, async () => {
			const world = new PagingWorld({ seed: 4 });
			await world.run(async () => {
				const started = world.clock.now();
				let result = await world.move(technique, {}, { phase, event: () => world.freeze("b") });
				assert.ok(world.clock.now() - started <= 62_000, `${world.clock.now() - started} ms`);
				assert.is(codeOf(result), "deadline");
				// A frozen target in `release` has said ready already: the source goes on to go, and cannot know.
				assert.is(result.outcome, phase === "release" ? "unconfirmed" : "kept");
				if (result.outcome === "unconfirmed" && result.paging !== undefined)
					result = await world.recover(result.paging);
				assert.is(result.outcome, "kept");
				assert.equal(world.runners, [world.guest]);
				world.compare(world.guest);
			});
			assert.equal(world.violations, []);
		});
	}

	test(`${technique} that loses its link before go has left keeps the guest`, async () => {
		const world = new PagingWorld({ seed: 5 });
		await world.run(async () => {
			const result = await world.move(technique, {}, { phase: "go", event: () => world.cut() });
			assert.is(result.outcome, "kept");
			assert.equal(world.runners, [world.guest]);
		});
		assert.equal(world.violations, []);
	});

	for (const durable of [false, true])
		test(`${technique} that loses its link after go goes on when asked, with ${durable ? "durable" : "passing"} ledgers`, async () => {
			for (const delayMs of [0, 0.6]) {
				const world = new PagingWorld({ seed: 6, durable });
				await world.run(async () => {
					const cut = () => void world.clock.sleep(delayMs).then(() => world.cut());
					const result = await world.move(technique, {}, { phase: "confirm", event: cut });
					assert.is(result.outcome, "unconfirmed");
					assert.ok(world.runners.length <= 1);
					assert.ok(result.outcome === "unconfirmed" && result.paging !== undefined);
					// With a delay go arrives and the target runs; without, it never hears of it and declines.
					const settled = await finish(world, await world.recover(result.paging));
					if (delayMs > 0) checkMoved(world, settled);
					else {
						assert.is(settled.outcome, "kept");
						assert.equal(world.runners, [world.guest]);
						world.compare(world.guest);
					}
				});
				assert.equal(world.violations, []);
			}
		});

	test(`${technique} goes on over another link when the first drops while pages travel`, async () => {
		for (const after of [0, 1, 5, 12]) {
			const world = new PagingWorld({ seed: 7 });
			await world.run(async () => {
				const result = await world.move(technique, {}, { phase: "paging", event: () => world.cut(), after });
				assert.is(result.outcome, "interrupted", `after ${after}: ${codeOf(result)}`);
				const [received] = await Promise.all(world.receptions);
				assert.ok(received?.outcome === "running" && received.paging !== undefined);
				const end = await received.paging.ended;
				assert.is(end.outcome, "interrupted");
				assert.equal(world.runners, [world.target], "the guest goes on at the target");
				await world.clock.sleep(50);
				const last = await finish(world, result);
				checkMoved(world, last);
				const { paging } = last.metrics;
				assert.ok(paging !== undefined);
				assert.is(paging.recoveries, 1);
				// Only what was under way when the link dropped goes again: 8 pages of push, and one for each strand's fault.
				assert.ok(paging.resentPages <= 12, `${paging.resentPages} pages again`);
				assert.is(paging.networkFaults + paging.pushedPages, paging.owedPages + paging.resentPages);
				assert.is(received.paging.duplicatePages, 0);
				assert.is((await received.paging.ended).outcome, "complete");
			});
			assert.equal(world.violations, [], `after ${after}`);
		}
	});

	for (const end of ["a", "b"] as const)
		test(`${technique} that has nothing to say notices that the ${end === "a" ? "source" : "target"} has frozen`, async () => {
			const world = new PagingWorld({ seed: 13, strands: 0 });
			await world.run(async () => {
				// Something is left for later even after a whole round.
				const at = { phase: "pause" as const, event: () => world.guest.write(0, Uint8Array.of(1)) };
				const moved = world.move(technique, { push: demandPaging() }, at);
				const [received] = await Promise.all(world.receptions);
				assert.ok(received?.outcome === "running" && received.paging !== undefined);
				await world.clock.sleep(60_000);
				assert.equal(world.runners, [world.target]);
				world.freeze(end);
				const frozen = world.clock.now();
				const result = await moved;
				assert.is(result.outcome, "interrupted");
				assert.is((await received.paging.ended).outcome, "interrupted");
				assert.ok(world.clock.now() - frozen < 15_000, `${world.clock.now() - frozen} ms`);
			});
			assert.equal(
				world.violations.filter((line) => !line.startsWith("page")),
				[],
			);
		});

	test(`${technique} asks again for what the guest waited for when the link was lost`, async () => {
		const world = new PagingWorld({ seed: 14, strands: 0 });
		await world.run(async () => {
			const at = { phase: "pause" as const, event: () => world.guest.write(0, Uint8Array.of(1)) };
			const moved = world.move(technique, { push: demandPaging() }, at);
			await Promise.all(world.receptions);
			await world.clock.sleep(5);
			const touch = world.target.touch(0, 1);
			world.cut();
			const result = await moved;
			assert.ok(result.outcome === "interrupted");
			const recovered = world.recover(result.paging);
			await touch;
			for (let page = 0; page < 64; page++) await world.target.touch(page * 4096, 1);
			assert.is((await recovered).outcome, "moved");
		});
	});

	for (const end of ["a", "b"] as const)
		test(`${technique} notices within its deadline that the ${end === "a" ? "source" : "target"} has frozen while pages travel`, async () => {
			const world = new PagingWorld({ seed: 8 });
			await world.run(async () => {
				const started = world.clock.now();
				const result = await world.move(technique, {}, { phase: "paging", event: () => world.freeze(end), after: 3 });
				assert.is(result.outcome, "interrupted");
				assert.ok(world.clock.now() - started < 20_000, `${world.clock.now() - started} ms`);
				checkMoved(world, await finish(world, result));
			});
			assert.equal(world.violations, []);
		});

	test(`${technique} cannot be cancelled after go`, async () => {
		for (const phase of ["confirm", "paging"] as const) {
			const world = new PagingWorld({ seed: 9 });
			const stop = new AbortController();
			await world.run(async () => {
				const at = { phase, event: () => stop.abort() };
				checkMoved(world, await world.move(technique, { signal: stop.signal }, at));
			});
			assert.equal(world.violations, []);
		}
	});

	test(`${technique} whose target is gone is interrupted until the caller gives it up`, async () => {
		for (const durable of [false, true]) {
			const world = new PagingWorld({ seed: 10, durable });
			await world.run(async () => {
				const crash = () => {
					world.cut();
					world.restartTarget();
				};
				const result = await world.move(technique, {}, { phase: "paging", event: crash, after: 3 });
				assert.ok(result.outcome === "interrupted", codeOf(result));
				const again = await world.recover(result.paging);
				assert.ok(again.outcome === "interrupted", codeOf(again));
				assert.is(again.error.code, "peer");
				assert.is((await again.paging.abandon()).outcome, "lost");
				assert.equal(world.runners, [], "nothing activates by guessing");
				await world.guest.resume();
			});
			assert.equal(
				world.violations.filter((line) => !line.startsWith("the program read")),
				[],
			);
		}
	});

	test(`${technique} whose source is gone reports the pages that are lost`, async () => {
		for (const lost of ["discard", "zeros"] as const) {
			const world = new PagingWorld({ seed: 11 });
			await world.run(async () => {
				const result = await world.move(technique, {}, { phase: "paging", event: () => world.cut(), after: 3 });
				assert.is(result.outcome, "interrupted");
				const [received] = await Promise.all(world.receptions);
				assert.ok(received?.outcome === "running" && received.paging !== undefined);
				const { missingPages } = received.paging;
				assert.ok(missingPages > 0);
				const waiting = Array.from({ length: 64 }, (_, page) =>
					world.target.touch(page * 4096, 1).then(
						() => "there",
						() => "failed",
					),
				);
				// A link that comes at the same moment comes too late.
				world.reconnect();
				const taken = received.paging.takeOver(world.open("b"));
				const end = await received.paging.abandon(lost);
				assert.is((await taken).outcome, "interrupted");
				assert.ok(end.outcome === "lost" && end.missingPages === missingPages);
				const fates = await Promise.all(waiting);
				assert.is(fates.filter((fate) => fate === "failed").length, lost === "discard" ? missingPages : 0);
				assert.is(world.runners.length, lost === "discard" ? 0 : 1);
			});
			const expected = (line: string): boolean => lost === "zeros" && line.startsWith("the program read");
			assert.equal(
				world.violations.filter((line) => !expected(line)),
				[],
			);
		}
	});
}

test("the paused copy of a post-copy move cannot be given up, resumed or moved by other ways", async () => {
	const world = new PagingWorld({ seed: 12 });
	await world.run(async () => {
		const result = await world.move("post-copy", {}, { phase: "paging", event: () => world.cut(), after: 3 });
		assert.ok(result.outcome === "interrupted");
		const services = { guest: world.guest, clock: world.clock };
		for (const owner of ["moved", "kept"] as const)
			assert.is((await decideMove(services, "m1", owner)).outcome, "unconfirmed");
		world.reconnect();
		assert.instance(await world.move("post-copy", { moveId: "m2" }).catch((error: unknown) => error), TypeError);
		checkMoved(world, await finish(world, result));
	});
	assert.equal(world.violations, []);
});

test.run();
