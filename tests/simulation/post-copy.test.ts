/** Post-copy and hybrid in virtual time while nothing goes wrong: what travels, when, how often, and what is reported. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import type { EncodeOptions } from "../../bindings/ports/guest.ts";
import { PagingWorld } from "./paging-world.ts";
import { PAGES } from "./two-hosts.ts";

const test = suite("post-copy");

const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };

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

test("a bandwidth cap holds after the switch for what is pushed, and never for a page that is waited for", async () => {
	const capBytesPerMs = 500;
	for (const strands of [0, 2]) {
		const world = new PagingWorld({ seed: 3, strands });
		await world.run(async () => {
			const options = { bandwidthBytesPerMs: capBytesPerMs, leaveOutZeroPages: false, compression: () => false };
			const { outcome, metrics } = await world.move("post-copy", options);
			assert.is(outcome, "moved");
			const { paging, networkFaults, resumeMs, zeroPages } = metrics;
			const bytes = (paging!.pushedPages + networkFaults - zeroPages) * 4096;
			assert.ok(bytes > 40 * 4096, `${bytes} bytes`);
			// One page may be under way when the last has been paid for; the guest alone may ask for more.
			if (strands === 0) assert.ok(bytes - 2 * 4096 <= resumeMs * capBytesPerMs, `${bytes} bytes in ${resumeMs} ms`);
			else assert.ok(networkFaults > 5, `${networkFaults} faults`);
			assert.ok(
				paging!.faultLatency.maximumMs < 8,
				`a wait of ${paging!.faultLatency.maximumMs} ms: the cap lets a page out every 8`,
			);
		});
		assert.equal(world.violations, []);
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

test("a page that changed behind the tracker's back is found by full verification, and named on both sides", async () => {
	for (const verification of ["full", "transport"] as const) {
		const world = new PagingWorld({ seed: 7, strands: 1 });
		await world.run(async () => {
			const note = world.guest.dirty.note.bind(world.guest.dirty);
			const change = () => {
				world.guest.dirty.note = () => undefined;
				world.guest.write(5 * 4096 + 1, Uint8Array.of(world.guest.read(5 * 4096 + 1, 1)[0]! ^ 1));
				world.guest.dirty.note = note;
			};
			// Near the end of the live round page 5 has long left.
			const result = await world.move("hybrid", { verification }, { phase: "pause", event: change });
			const [received] = await Promise.all(world.receptions);
			const end = received?.outcome === "running" ? await received.paging?.ended : undefined;
			if (verification === "transport") {
				assert.is(result.outcome, "moved", "what was sent is what was installed");
				assert.is(end?.outcome, "complete");
				return;
			}
			assert.ok(result.outcome === "corrupt", result.outcome);
			assert.equal(result.pageIndices, [5]);
			assert.is(result.corruptPages, 1);
			assert.is(result.error.pageIndex, 5);
			assert.equal(end, { outcome: "corrupt", pageIndices: [5], corruptPages: 1 });
			assert.equal(world.runners, [world.target], "the guest runs there, whatever it has");
		});
	}
});

test("a fault waits for what the push has under way, not for what it has yet to send", async () => {
	const world = new PagingWorld({ seed: 8, strands: 3 });
	await world.run(async () => {
		const { metrics } = await world.move("post-copy");
		assert.ok(metrics.networkFaults > 3, `${metrics.networkFaults} faults`);
		// 8 pages of 1 ms each are under way at most, and one page for each other strand: 56 would wait otherwise.
		const { maximumMs } = metrics.paging!.faultLatency;
		assert.ok(maximumMs < 14, `${maximumMs} ms`);
	});
	assert.equal(world.violations, []);
});

test("the switch takes as long for a large guest as for a small one", async () => {
	const downtimeMs = async (pageCount: number): Promise<number> => {
		const clock = new VirtualClock(systemClock);
		return clock.run(async () => {
			const random = new SeededRandom(1);
			const guest = new MemoryGuest({ pageCount });
			const line = connectSimulated(clock, { rateBytesPerMs: 117_000, latencyMs: 0.06 });
			const factory = new MemoryGuestFactory(clock, pageCount);
			const received = receiveGuest({ link: new StreamLink(line.b, LINK), clock, factories: [factory] });
			const services = { guest, link: new StreamLink(line.a, LINK), clock, random };
			const { outcome, metrics } = await postCopy(services, { leaveOutZeroPages: false });
			assert.is(outcome, "moved");
			await received;
			return metrics.downtimeMs;
		});
	};
	const [small, large] = [await downtimeMs(64 * 256), await downtimeMs(256 * 256)];
	assert.ok(Math.abs(small - large) < 0.5, `${small} ms, ${large} ms`);
	assert.ok(large < 15, `${large} ms`);
});

test("pushing the most recently used pages first spares the guest faults", async () => {
	const faults = async (observed: boolean): Promise<number> => {
		const world = new PagingWorld({ seed: 9, strands: 0 });
		return world.run(async () => {
			// The guest uses its last pages again and again: in address order they would come last.
			const hot = [52, 53, 54, 55];
			const order = await world.guest.order.open();
			if (!observed) Object.assign(world.guest.order, { note: () => undefined });
			for (const page of hot) world.guest.read(page * 4096, 1);
			const moved = world.move("post-copy", { push: activePush() });
			await Promise.all(world.receptions);
			await world.clock.sleep(6);
			for (const page of hot) await world.target.touch(page * 4096, 1);
			const { metrics } = await moved;
			await order.close();
			return metrics.networkFaults;
		});
	};
	assert.is(await faults(true), 0);
	assert.is(await faults(false), 4);
});

test("pages that follow are encoded for the link's rate, as far as it is known, and never above the cap", async () => {
	for (const bandwidthBytesPerMs of [undefined, 2000]) {
		const world = new PagingWorld({ seed: 81 });
		const { guest } = world;
		const rates: (number | undefined)[] = [];
		const encode = guest.pages.encode.bind(guest.pages);
		Object.assign(guest.pages, {
			encode: (pageIndices: Uint32Array, options: EncodeOptions) => {
				if (!guest.running) rates.push(options.compress ? options.linkBytesPerMs : undefined);
				return encode(pageIndices, options);
			},
		});
		await world.run(async () => {
			const result = await world.move("post-copy", bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs });
			assert.is(result.outcome, "moved");
		});
		if (bandwidthBytesPerMs === undefined) assert.is(rates[0], Number.POSITIVE_INFINITY);
		const last = rates.at(-1) ?? Number.NaN;
		// The link carries 4000 bytes per ms; a batch counts at full size, whatever became of it.
		assert.ok(last > 200 && last <= (bandwidthBytesPerMs ?? 8000), `${rates}`);
	}
});

test.run();
