/** What a target tells its guest before *ready*: at once where the guest keeps the order, else one thing after the other. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { createInProcessLinks } from "../../bindings/links/in-process.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

const test = suite("what a target tells its guest before ready");

const clock = systemClock;
const engine = createEngine();
const PAGES = 8;

/** How the target's guest behaves. */
interface Habits {
	readonly inOrder?: boolean;
	/** It answers `apply` only when it has been told of the missing pages. */
	readonly answersLate?: boolean;
	/** It has installed something else than was sent. */
	readonly installsOther?: boolean;
	readonly refusesState?: boolean;
}

/** A guest that notes what it is told, and when it has answered. @param over - nobody waits for it any more */
function noting(guest: MemoryGuest, told: string[], habits: Habits, over: Promise<void>): MemoryGuest {
	let begun: () => void = () => undefined;
	const hasBegun = new Promise<void>((resolve) => {
		begun = resolve;
	});
	const { pages, state, faulting } = guest;
	const apply = pages.apply.bind(pages);
	const restore = state.restore.bind(state);
	const begin = faulting.begin.bind(faulting);
	const resume = guest.resume.bind(guest);
	const done = <T>(what: string, value: T): T => {
		told.push(`${what} done`);
		return value;
	};
	Object.assign(pages, {
		apply: async (...args: Parameters<typeof apply>) => {
			told.push("apply");
			const applied = await apply(...args);
			if (habits.answersLate) await Promise.race([hasBegun, over]);
			const hashes = habits.installsOther ? new Uint8Array(applied.hashes.byteLength) : applied.hashes;
			return done("apply", { ...applied, hashes });
		},
	});
	Object.assign(state, {
		restore: async (bytes: Uint8Array) => {
			told.push("restore");
			await clock.sleep(0);
			if (habits.refusesState) throw new TypeError("this is no state");
			return done("restore", await restore(bytes));
		},
	});
	Object.assign(faulting, {
		...(habits.inOrder === undefined ? {} : { inOrder: habits.inOrder }),
		begin: async (...args: Parameters<typeof begin>) => {
			told.push("begin");
			begun();
			await clock.sleep(0);
			return done("begin", await begin(...args));
		},
	});
	guest.resume = async () => {
		told.push("resume");
		await resume();
	};
	return guest;
}

/** A post-copy move whose page 0 travels inside the switch. */
async function move(habits: Habits) {
	const told: string[] = [];
	let end: () => void = () => undefined;
	const over = new Promise<void>((resolve) => {
		end = resolve;
	});
	const link = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };
	const [near, far] = createInProcessLinks(link);
	const source = new MemoryGuest({ pageCount: PAGES });
	for (let page = 0; page < PAGES; page++) source.write(page * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(page + 1));
	Object.assign(source.faulting, { pinned: async () => Uint8Array.of(1) });
	const factory = new MemoryGuestFactory(clock, PAGES);
	const setUp = factory.setUp.bind(factory);
	factory.setUp = async (layout) => {
		const prepared = await setUp(layout);
		return { ...prepared, guest: noting(prepared.guest, told, habits, over) };
	};
	const receiving = receiveGuest({ link: far, factories: [factory], clock });
	// Told one by one, a guest that answers late would never be ready: the source then keeps it after a second.
	const moved = await postCopy(
		{ guest: source, link: near, clock, random: systemRandom },
		{ deadlines: { verifyMs: 1000 } },
	);
	end();
	return { moved, received: await receiving, told, source };
}

test("a guest that keeps the order is told everything before it has answered, and runs after its answers", async () => {
	const { moved, told } = await move({ inOrder: true, answersLate: true });
	assert.is(moved.outcome, "moved");
	assert.equal(told.slice(0, 3), ["apply", "restore", "begin"]);
	assert.equal([...told.slice(3, 6)].sort(), ["apply done", "begin done", "restore done"]);
	assert.is(told[6], "resume");
});

test("any other guest is told one thing after the other", async () => {
	const { moved, told } = await move({});
	assert.is(moved.outcome, "moved");
	assert.equal(told, ["apply", "apply done", "restore", "restore done", "begin", "begin done", "resume"]);
});

test("a guest that was told everything and has other pages than were sent never runs", async () => {
	const { moved, received, told, source } = await move({ inOrder: true, installsOther: true });
	assert.is(moved.outcome, "kept");
	assert.is(moved.outcome === "kept" && moved.error.code, "corrupt");
	assert.is(received.outcome, "discarded");
	assert.not(told.includes("resume"));
	assert.is(source.running, true, "the source's goes on");
});

test("a guest that was told everything and refuses its state never runs", async () => {
	const { moved, received, told, source } = await move({ inOrder: true, refusesState: true });
	assert.is(moved.outcome, "kept");
	assert.is(received.outcome, "discarded");
	assert.match(received.outcome === "discarded" ? received.error.message : "", "this is no state");
	assert.not(told.includes("resume"));
	assert.is(source.running, true, "the source's goes on");
});

test("with both wrong, the comparison is what is told", async () => {
	const { moved } = await move({ inOrder: true, installsOther: true, refusesState: true });
	assert.is(moved.outcome === "kept" && moved.error.code, "corrupt");
});

test.run();
