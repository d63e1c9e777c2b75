/** The paper's sequential stress in virtual time. Figures of all variants are printed; prepaging must keep its promise. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { sweep } from "./sequential-sweep.ts";

const test = suite("post-copy under a sequential sweep");

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

const VARIANTS: readonly (readonly [string, PushOrder])[] = [
	["demand only", demandPaging()],
	["push only", activePush()],
	["prepaging, 1 pivot", prepaging({ pivots: 1 })],
	["prepaging, 7 pivots", prepaging()],
	["prepaging, forward", prepaging({ direction: "forward" })],
	["prepaging, turns", prepaging({ order: "turns" })],
];

for (const megabytes of [8, 32])
	test(`prepaging keeps network faults under 4 % of first touches with ${megabytes} MB`, async () => {
		const pages = megabytes * 256;
		const shares = new Map<string, number>();
		for (const [name, push] of VARIANTS) {
			const { paging, networkFaults, resumeMs } = await sweep(pages, push);
			assert.ok(paging !== undefined);
			shares.set(name, networkFaults / pages);
			console.log(
				`seed 7, ${megabytes} MB, ${name}: network faults ${percent(networkFaults, pages)}, in-flight waits ${percent(paging.inFlightWaits, pages)}, blocked ${paging.blockedMs.toFixed(1)} ms, fault p50 ${(paging.faultLatency.p50Ms * 1000).toFixed(0)} µs, p90 ${(paging.faultLatency.p90Ms * 1000).toFixed(0)} µs, resume ${resumeMs.toFixed(1)} ms`,
			);
			assert.is(paging.pushedPages + networkFaults, pages);
		}
		assert.is(shares.get("demand only"), 1);
		for (const name of ["prepaging, 1 pivot", "prepaging, 7 pivots", "prepaging, turns"])
			assert.ok(shares.get(name)! <= 0.04, `${name}: ${shares.get(name)}`);
		assert.ok(shares.get("push only")! > 1.5 * shares.get("prepaging, 7 pivots")!);
	});

test.run();
