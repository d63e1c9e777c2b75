// What it brings to push pages by their last use instead of their address, for a guest with locality, in virtual time over
// 117 MB/s (tests/simulation/hot-set.ts).
import { activePush, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { moveHotSet } from "../../tests/simulation/hot-set.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "Post-copy by last use, of a guest with a hot eighth";

const ORDERS: readonly (readonly [string, PushOrder])[] = [
	["push", activePush()],
	["prepaging", prepaging()],
	["turns", prepaging({ order: "turns" })],
];

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all: Row[] = [];
	for (const pages of smoke ? [256] : [4096, 16_384])
		for (const [name, push] of ORDERS) {
			const byAddress = await moveHotSet(pages, { push, order: "address" });
			const byUse = await moveHotSet(pages, { push, order: "lru" });
			const label = `${(pages * 4096) / 2 ** 20} MiB, ${name}, last use`;
			const compare = (what: string, unit: string, ours: number, peer: number): Row => ({
				...{ name: `${label}: ${what}`, unit, value: ours, peer: "address", peerValue: peer },
				ratio: peer / Math.max(ours, Number.MIN_VALUE),
				goal: 1,
			});
			all.push(
				compare("network faults", "faults", byUse.networkFaults, byAddress.networkFaults),
				compare("blocked", "ms", byUse.paging?.blockedMs ?? 0, byAddress.paging?.blockedMs ?? 0),
			);
		}
	return all;
}
