// The order of use where sampling fails in the middle: an error that nobody catches would end the guest's worker.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { LiveCode } from "../../bindings/guests/wasm/live-code.ts";
import { OrderWork } from "../../bindings/guests/wasm/order-work.ts";
import type { PageWork } from "../../bindings/guests/wasm/page-work.ts";
import type { Job, WorkLoop } from "../../bindings/guests/wasm/work-loop.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { Clock } from "../../bindings/ports/clock.ts";
import { GuestError } from "../../bindings/ports/guest.ts";

const test = suite("wasm guest: order of use");

const PAGES = 16;
const gone = new GuestError("gone", "the tracker is gone");

/** Turns of a sampler end at once. */
const clock: Clock = { now: () => 0, sleep: () => systemClock.sleep(0) };

const isGenerator = (job: Job<unknown>): job is Generator<void, unknown> =>
	typeof job === "object" && job !== null && "next" in job;

/** An order's work beside fakes of what it uses. */
function orderWork(work: Partial<PageWork>): OrderWork {
	const loop: Partial<WorkLoop> = {
		paused: false,
		// As the loop does: what a job throws rejects its promise.
		job: async (begin: () => Job<unknown>) => {
			const job = begin();
			if (!isGenerator(job)) return (await job) as never; // allowed (cast): a fake that takes any job
			for (;;) {
				const { done, value } = job.next();
				if (done === true) return value as never; // allowed (cast): as above
			}
		},
	};
	const live: Partial<LiveCode> = {
		ready: () => Promise.resolve(),
		map: () => new WebAssembly.Memory({ initial: 17 }),
		onArrive: () => undefined,
	};
	return new OrderWork({
		...{ clock, variant: "watched", isWaiting: () => false, settleCode: () => Promise.resolve() },
		loop: () => loop as WorkLoop, // allowed (cast): a fake with the parts that are used
		live: () => live as LiveCode, // allowed (cast): as above
		work: () => work as PageWork, // allowed (cast): as above
	});
}

/** With an engine that has a second memory, or has none. */
async function onEngine(hasSecondMemory: boolean, body: () => Promise<void>): Promise<void> {
	const { validate } = WebAssembly;
	WebAssembly.validate = () => hasSecondMemory;
	try {
		await body();
	} finally {
		WebAssembly.validate = validate;
	}
}

const turns = async (): Promise<void> => {
	for (let turn = 0; turn < 5; turn++) await systemClock.sleep(0);
};

test("a dirty cursor that cannot be opened leaves the order unknown, and closes", async () => {
	await onEngine(false, async () => {
		const open = () => {
			throw gone;
		};
		const order = orderWork({ pageCount: PAGES, open });
		await order.open();
		await turns();
		assert.equal(order.recentFirst(), new Uint32Array(0));
		await order.close();
		await turns();
	});
});

test("a harvest that fails ends the sampling, and so may the cursor's end", async () => {
	await onEngine(false, async () => {
		let harvests = 0;
		const order = orderWork({
			pageCount: PAGES,
			*open(): Generator<void, { cursor: number }> {
				yield;
				return { cursor: 1 };
			},
			harvest: () => {
				harvests++;
				throw gone;
			},
			close: () => {
				throw gone;
			},
		});
		await order.open();
		await turns();
		assert.is(harvests, 1);
		await order.close();
		await turns();
	});
});

test("a turn of accesses that fails ends the sampling and lets every page pass", async () => {
	await onEngine(true, async () => {
		let asked = 0;
		const work: Partial<PageWork> = {
			get pageCount() {
				if (asked++ > 0) throw gone;
				return PAGES;
			},
		};
		const order = orderWork(work);
		await order.open();
		assert.is(order.samplesAccesses, true);
		order.touch(5 * 4096, 1);
		await turns();
		assert.is(asked, 2);
		assert.equal([...order.recentFirst()], [5]);
		order.touch(7 * 4096, 1);
		assert.equal([...order.recentFirst()], [5]);
		await order.close();
	});
});

test.run();
