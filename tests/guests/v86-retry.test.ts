// Moves of v86 guests that fail on their way: the guest runs on at its source without losing a letter, nothing is left of its target,
// and the next move takes it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { stopAndCopy } from "../../bindings/migration/stop-and-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { systemRandom as random } from "../../bindings/platform/system-random.ts";
import { type Guest, GuestError, type GuestFactory } from "../../bindings/ports/guest.ts";
import { letterFault, oracleFault } from "../v86/boot-sector.ts";
import { Console, heardFactory } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, runBootSector } from "../v86/open-guests.ts";
import { garbageFactory } from "../v86/post-copy.ts";
import { runInWorker, workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: another try");
type AnyGuest = V86Guest | V86WorkerGuest;
const open = new Set<Guest>();
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const TECHNIQUES = { "stop-and-copy": stopAndCopy, "pre-copy": preCopy, "post-copy": postCopy } as const;
type Name = keyof typeof TECHNIQUES;
/** Before which a move has nothing to give up, and after which it cannot be called off. */
const PHASES = {
	"stop-and-copy": ["set-up", "final-round", "state"],
	"pre-copy": ["set-up", "live", "final-round", "state"],
	"post-copy": ["set-up", "pause", "final-round", "state"],
} as const;

/** How a move may be ended from outside, when it is in a phase. */
const ENDS = ["its caller cancels it", "its link drops", "its target is discarded"] as const;
type End = (typeof ENDS)[number];

interface Attempt {
	readonly result: PostCopyResult;
	/** Runs, unless the move has failed. */
	readonly target: AnyGuest | undefined;
	/** What was set up on the other side. */
	readonly made: readonly Guest[];
	/** Pages that had been sent when it was ended. */
	readonly sentPages: number | undefined;
}

/** Moves a guest; a move that is to fail is ended in that phase, in `live` when pages have travelled. */
async function attempt(
	guest: AnyGuest,
	name: Name,
	factory: GuestFactory,
	fail?: { readonly phase: string; readonly end: End },
): Promise<Attempt> {
	const [near, far] = openLinkPair();
	const made: Guest[] = [];
	const kept: GuestFactory = {
		kind: factory.kind,
		check: factory.check.bind(factory),
		missing: factory.missing.bind(factory),
		setUp: async (...request) => {
			const prepared = await factory.setUp(...request);
			made.push(prepared.guest);
			return prepared;
		},
	};
	const receiving = receiveGuest({ link: far, factories: [kept], clock });
	const cancel = new AbortController();
	let sentPages: number | undefined;
	const result = await TECHNIQUES[name](
		{ guest, link: near, clock, random },
		{
			...(name === "post-copy" ? { leaveOutZeroPages: false } : {}), // what is left out would be garbage
			bandwidthBytesPerMs: 100_000, // the guest changes most of what was sent, so there are rounds
			signal: cancel.signal,
			onProgress: (progress) => {
				if (progress.phase !== fail?.phase || sentPages !== undefined) return;
				if (progress.phase === "live" && progress.sentPages === 0) return;
				sentPages = progress.sentPages;
				if (fail.end === ENDS[0]) cancel.abort(new Error("not today"));
				else if (fail.end === ENDS[1]) near.abort(new Error("pulled"));
				else for (const target of made) void target.discard();
			},
		},
	);
	const received = await receiving;
	const target = received.outcome === "running" ? (received.guest as AnyGuest) : undefined;
	return { result, target, made, sentPages };
}

/** @returns whether nothing is left of a target */
const isGone = (guest: Guest): Promise<boolean> =>
	guest.state.capture().then(
		() => false,
		(error: unknown) => error instanceof GuestError && error.code === "gone",
	);

const KINDS: Readonly<
	Record<string, { start(): Promise<AnyGuest>; factory(technique: Name, console: Console): GuestFactory }>
> = {
	"on its host's thread": {
		start: () => runBootSector("oracle"),
		factory: (name, console) =>
			name === "post-copy" ? garbageFactory(console) : heardFactory(bootSectorFactory(), console),
	},
	"in a worker": {
		start: () => runInWorker("oracle"),
		factory: (name, console) =>
			name === "post-copy" ? garbageFactory(console) : heardFactory(workerFactory(), console),
	},
};

for (const [where, { start, factory }] of Object.entries(KINDS))
	for (const name of Object.keys(TECHNIQUES) as Name[])
		test(`${name} that fails in any of its phases keeps the guest, and the next one takes it: ${where}`, async () => {
			const guest = await start();
			open.add(guest);
			const console = new Console();
			console.follow(guest);
			await console.more(10);
			for (const end of ENDS)
				for (const phase of PHASES[name]) {
					// Before there is a target, none can be discarded.
					if (end === ENDS[2] && phase === "set-up") continue;
					const failed = await attempt(guest, name, factory(name, console), { phase, end });
					const what = `${phase}, ${end}`;
					assert.is(failed.result.outcome, "kept", what);
					assert.is(failed.target, undefined, what);
					if (phase === "live") assert.ok((failed.sentPages ?? 0) > 0, `${what}: pages have travelled`);
					assert.is.not(failed.sentPages, undefined, `${what}: it came to that`);
					for (const target of failed.made) assert.ok(await isGone(target), `${what}: its target is gone`);
					await console.more(20);
					assert.is(letterFault(console.text), undefined, what);
				}
			const { result, target } = await attempt(guest, name, factory(name, console));
			assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
			open.add(target!);
			await console.more(40);
			await target!.pause({ deadlineMs: 60_000 });
			assert.is(letterFault(console.text), undefined);
			assert.is(oracleFault(await target!.readMemory(0, MEMORY_BYTES)), undefined);
			if (name === "post-copy") assert.instance(target, V86WorkerGuest);
		});

test.run();
