// A live move without a technique: what pre-copy does with a guest's ports, in the plainest order.
import type { DirtyCursor, Guest, GuestFactory } from "../../bindings/ports/guest.ts";
import { keep } from "./open-guests.ts";

export interface MoveByHand {
	readonly target: Guest;
	/** Pages sent, those sent again included. */
	readonly pagesSent: number;
}

/** Moves a running guest; the source is paused at the end, the target runs. */
export async function moveByHand(
	source: Guest,
	factory: GuestFactory,
	{ rounds = 3, compress = false } = {},
): Promise<MoveByHand> {
	const layout = source.state.layout();
	const resources = new Map<string, Uint8Array<ArrayBuffer>>();
	for (const hash of factory.missing(layout)) resources.set(hash, (await source.state.resource(hash))!);
	const target = keep((await factory.setUp(layout, resources)).guest);
	const cursor = await source.dirty.open();
	// It may have grown since the layout was taken: what it had at `open` is in no harvest.
	const { pageCount } = source.pages;
	await target.pages.grow(pageCount);
	let pagesSent = await send(source, target, range(pageCount), compress);
	for (let round = 0; round < rounds; round++) pagesSent += await sendDirty(source, target, cursor, compress);
	await source.pause({ deadlineMs: 10_000 });
	pagesSent += await sendDirty(source, target, cursor, compress);
	await target.state.restore(await source.state.capture());
	await target.resume();
	await cursor.close();
	return { target, pagesSent };
}

async function sendDirty(source: Guest, target: Guest, cursor: DirtyCursor, compress: boolean): Promise<number> {
	const { bits, pageCount } = await cursor.harvest();
	await target.pages.grow(pageCount);
	const dirty = range(pageCount).filter((page) => ((bits[page >> 3]! >> (page & 7)) & 1) === 1);
	return send(source, target, dirty, compress);
}

async function send(source: Guest, target: Guest, pages: Uint32Array, compress: boolean): Promise<number> {
	for (let at = 0; at < pages.length; at += 1024) {
		const batch = await source.pages.encode(pages.slice(at, at + 1024), { compress });
		await target.pages.apply(batch);
		batch.release();
	}
	return pages.length;
}

function range(count: number): Uint32Array {
	return Uint32Array.from({ length: count }, (_, index) => index);
}
