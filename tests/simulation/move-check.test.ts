import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveError } from "../../bindings/handover/move-error.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { checkMove } from "../../bindings/migration/check.ts";
import { LINK_OPTIONS, PAGES, World } from "./world.ts";

const test = suite("asking before a move");

test("a target that would take the guest says so, and nothing else happens", async () => {
	const world = new World({ seed: 1 });
	await world.run(async () => {
		world.listen(new StreamLink(world.connection.b, LINK_OPTIONS));
		const link = new StreamLink(world.connection.a, LINK_OPTIONS);
		const answer = await checkMove({ guest: world.guest, link, clock: world.clock });
		assert.equal(answer, { outcome: "possible", missingBytes: 0 });
		const [received] = await Promise.all(world.receptions);
		assert.equal(received, { outcome: "answered", moveId: "check", status: "welcome" });
		assert.is(await world.targetLedger.read("check"), undefined);
		assert.equal(world.runners, [world.guest]);
	});
});

test("a target that would not names every obstacle", async () => {
	const world = new World({ seed: 2 });
	await world.run(async () => {
		world.listen(new StreamLink(world.connection.b, LINK_OPTIONS));
		const link = new StreamLink(world.connection.a, LINK_OPTIONS);
		const guest = new MemoryGuest({ pageCount: PAGES * 3, facts: { program: "other" } });
		const answer = await checkMove({ guest, link, clock: world.clock });
		assert.is(answer.outcome, "refused");
		assert.match(answer.outcome === "refused" ? answer.message : "", /144 pages.*at most 96.*; .*'program'/);
		assert.ok(guest.running);
	});
});

test("a target that does not answer is an error, not an answer", async () => {
	const world = new World({ seed: 3 });
	await world.run(async () => {
		const link = new StreamLink(world.connection.a, LINK_OPTIONS);
		const error = await checkMove({ guest: world.guest, link, clock: world.clock }, { deadlineMs: 50 }).catch(
			(reason: unknown) => reason,
		);
		assert.instance(error, MoveError);
		assert.is(error instanceof MoveError && error.code, "deadline");
	});
});

test.run();
