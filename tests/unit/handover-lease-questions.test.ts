import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	acquireLease,
	type LeaseAsking,
	releaseLease,
	renewLease,
	takeAgain,
} from "../../bindings/handover/lease-questions.ts";
import { ManualLease } from "../../bindings/handover/manual-lease.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type Lease, LeaseError } from "../../bindings/ports/lease.ts";

const test = suite("questions to a lease's keeper");

const ANSWER_MS = 10;

/** A keeper whose answers take `delayMs`; what it is asked is done at once, or as late as the answer. */
async function withKeeper(
	{ delayMs, isLate = false }: { readonly delayMs: number; readonly isLate?: boolean },
	body: (asking: LeaseAsking, manual: ManualLease, clock: VirtualClock) => Promise<void>,
): Promise<void> {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const manual = new ManualLease();
		const slowly = async <T>(question: () => Promise<T>): Promise<T> => {
			if (isLate) await clock.sleep(delayMs);
			const answer = await question();
			if (!isLate) await clock.sleep(delayMs);
			return answer;
		};
		const lease: Lease = {
			acquire: () => slowly(() => manual.acquire()),
			renew: (grant) => slowly(() => manual.renew(grant)),
			release: (grant) => slowly(() => manual.release(grant)),
		};
		await body({ lease, clock, answerMs: ANSWER_MS }, manual, clock);
	});
}

const isUnavailable = (error: unknown): boolean => error instanceof LeaseError && error.code === "unavailable";

async function fails(question: Promise<unknown>): Promise<boolean> {
	return question.then(() => false, isUnavailable);
}

test("an answer in time is the answer", async () => {
	await withKeeper({ delayMs: 5 }, async (asking) => {
		const grant = await acquireLease(asking);
		assert.is(grant?.token, 1);
		assert.equal(await renewLease(asking, grant!), grant);
		await releaseLease(asking, grant!);
		assert.is((await acquireLease(asking))?.token, 2);
	});
});

test("no answer in time is a keeper that cannot be asked", async () => {
	await withKeeper({ delayMs: Number.POSITIVE_INFINITY }, async (asking, manual, clock) => {
		const grant = (await manual.acquire())!;
		assert.ok(await fails(acquireLease(asking)));
		assert.ok(await fails(renewLease(asking, grant)));
		assert.is(clock.now(), 2 * ANSWER_MS);
		await releaseLease(asking, grant); // whether or not
	});
});

test("a grant that comes too late is given back", async () => {
	for (const isLate of [false, true])
		await withKeeper({ delayMs: 30, isLate }, async (asking, manual, clock) => {
			assert.ok(await fails(acquireLease(asking)));
			await clock.sleep(100);
			assert.is((await manual.acquire())?.token, 2);
		});
});

test("a grant that was to be given up is taken again under a token that a late request does not end", async () => {
	await withKeeper({ delayMs: 0 }, async (asking, manual) => {
		const before = (await manual.acquire())!;
		const after = await takeAgain(asking, before);
		assert.is(after?.token, 2);
		await manual.release(before); // the request that was on its way
		assert.is((await manual.renew(after!))?.token, 2);
	});
});

test("nothing is taken again while the keeper is silent, nor from somebody else", async () => {
	await withKeeper({ delayMs: Number.POSITIVE_INFINITY }, async (asking, manual) => {
		assert.ok(await fails(takeAgain(asking, (await manual.acquire())!)));
	});
	await withKeeper({ delayMs: 0 }, async (asking, manual) => {
		const before = (await manual.acquire())!;
		await manual.release(before);
		await manual.acquire();
		assert.is(await takeAgain(asking, before), undefined);
	});
});

test.run();
