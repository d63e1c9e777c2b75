// A post-copy move without a technique: the target runs first, and the test says when which page comes.
import type { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import type { FaultingGuest, InstalledPages } from "../../bindings/ports/faulting-guest.ts";
import { isFaultingGuest } from "../../bindings/ports/faulting-guest.ts";
import type { EncodedBatch, Guest } from "../../bindings/ports/guest.ts";
import { keep } from "./open-guests.ts";

/** The two ends, and what happens between them. */
export interface PostCopyByHand {
	readonly source: Guest;
	readonly target: WasmGuest & FaultingGuest;
	/** Pages asked for, in order. */
	readonly asked: number[];
	/** Sends pages that nobody has asked for. */
	push(pages: readonly number[], taken?: () => void): Promise<InstalledPages>;
	/** From now on whatever is asked for is sent at once. */
	serve(): void;
	/** Resolves when a page is asked for the next time. */
	nextFault(): Promise<number>;
	/** Pushes every page, so many at a time, then ends the checks. */
	finish(pagesAtATime?: number): Promise<void>;
}

/** Moves a running guest: it is paused for good, and runs at the target with all its pages missing. */
export async function postCopyByHand(source: Guest, factory: WasmGuestFactory): Promise<PostCopyByHand> {
	const layout = source.state.layout();
	const resources = new Map<string, Uint8Array<ArrayBuffer>>();
	for (const hash of factory.missing(layout)) resources.set(hash, (await source.state.resource(hash))!);
	const { guest } = await factory.setUp(layout, resources, undefined, { faulting: true });
	const target = keep(guest);
	if (!(target instanceof WasmGuest) || !isFaultingGuest(target)) throw new TypeError("this target cannot fault");
	await source.pause({ deadlineMs: 10_000 });
	const { pageCount } = source.pages;
	await target.pages.grow(pageCount);
	await target.state.restore(await source.state.capture());
	const send = async (pages: readonly number[], taken: () => void = () => undefined): Promise<InstalledPages> => {
		const batch = await source.pages.encode(Uint32Array.from(pages), { compress: false });
		return target.faulting.install(batch as EncodedBatch, () => {
			batch.release();
			taken();
		});
	};
	const asked: number[] = [];
	let serving = false;
	let waiting: ((page: number) => void)[] = [];
	const missing = new Uint8Array(Math.ceil(pageCount / 8)).fill(0xff);
	await target.faulting.begin(missing, (page) => {
		asked.push(page);
		for (const resolve of waiting.splice(0)) resolve(page);
		if (serving) void send([page]);
	});
	await target.resume();
	return {
		source,
		target,
		asked,
		push: send,
		serve() {
			serving = true;
			const last = asked.at(-1);
			if (last !== undefined) void send([last]);
		},
		nextFault: () =>
			new Promise<number>((resolve) => {
				waiting = [...waiting, resolve];
			}),
		async finish(pagesAtATime = 64) {
			for (let first = 0; first < pageCount; first += pagesAtATime)
				await send(Array.from({ length: Math.min(pagesAtATime, pageCount - first) }, (_, i) => first + i));
			await target.faulting.end();
		},
	};
}
