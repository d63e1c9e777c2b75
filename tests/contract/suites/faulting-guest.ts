/**
 * What every guest keeps to that can run while pages are missing: one suite, run by each implementation through a small
 * harness.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchError } from "../../../bindings/engine/batch.ts";
import type { FaultingGuest, InstalledPages } from "../../../bindings/ports/faulting-guest.ts";
import { isFaultingGuest } from "../../../bindings/ports/faulting-guest.ts";
import {
	type EncodedBatch,
	type Guest,
	GuestError,
	type GuestFactory,
	PAGE_BYTES,
	type PageBits,
} from "../../../bindings/ports/guest.ts";

/** How the suite makes and drives a kind of guest. */
export interface FaultingHarness {
	readonly name: string;
	/** A running guest with at least `pageCount` pages. */
	create(pageCount: number): Promise<FaultingSource>;
	/** A factory that takes such guests. */
	factory(): Promise<GuestFactory>;
	/** Reads at a target as the guest's own program would: it waits for what is missing. */
	read(target: FaultingGuest, byteOffset: number, byteLength: number): Promise<Uint8Array>;
	/** The same for writing. */
	write(target: FaultingGuest, byteOffset: number, bytes: Uint8Array): Promise<void>;
	/** Called once after all tests. */
	close?(): Promise<void>;
}

/** A running guest and the hands on its memory. */
export interface FaultingSource {
	readonly guest: Guest;
	/** First page that the suite may use, and how many follow: 4 or more. */
	readonly firstPage: number;
	readonly freePages: number;
	write(byteOffset: number, bytes: Uint8Array): Promise<void>;
}

interface Scene {
	readonly source: Guest;
	readonly target: FaultingGuest;
	/** Pages of the suite, all missing at the target. */
	readonly pages: readonly number[];
	/** Pages asked for. */
	readonly asked: number[];
	/** Resolves when a page is asked for the next time. */
	nextFault(): Promise<number>;
	send(...pages: number[]): Promise<EncodedBatch>;
}

const contentOf = (page: number): Uint8Array =>
	Uint8Array.from({ length: PAGE_BYTES }, (_, i) => (page * 31 + i) & 0xff);
const failure = (work: Promise<unknown>): Promise<unknown> =>
	work.then(
		() => undefined,
		(error: unknown) => error,
	);

/** Declares and runs the suite. */
export function faultingGuestContract(harness: FaultingHarness): void {
	const test = suite(`faulting guest contract: ${harness.name}`);
	const open: Guest[] = [];
	test.after.each(async () => {
		for (const guest of open.splice(0)) await guest.discard();
	});
	test.after(() => harness.close?.());

	const bitsOf = (pages: readonly number[], pageCount: number): PageBits => {
		const bits = new Uint8Array(Math.ceil(pageCount / 8));
		for (const page of pages) bits[page >>> 3]! |= 1 << (page & 7);
		return bits;
	};

	/** A paused source and a target that has everything but a few pages, and runs. */
	const setScene = async (missing = 4): Promise<Scene> => {
		const { guest, firstPage, freePages, write } = await harness.create(16);
		open.push(guest);
		assert.ok(freePages >= 4);
		const pages = Array.from({ length: missing }, (_, i) => firstPage + i);
		for (const page of pages) await write(page * PAGE_BYTES, contentOf(page));
		await guest.pause({ deadlineMs: 5000 });
		const resources = new Map<string, Uint8Array<ArrayBuffer>>();
		for (const { hash } of guest.state.layout().resources) {
			const bytes = await guest.state.resource(hash);
			if (bytes !== undefined) resources.set(hash, bytes);
		}
		const factory = await harness.factory();
		const layout = guest.state.layout();
		assert.equal(factory.check(layout, { faulting: true }), []);
		const { guest: target } = await factory.setUp(layout, resources, undefined, { faulting: true });
		open.push(target);
		assert.ok(isFaultingGuest(target), "set up to fault, and cannot");
		const send = async (...wanted: number[]): Promise<EncodedBatch> => {
			const batch = await guest.pages.encode(Uint32Array.from(wanted), { compress: false });
			const copy = { bytes: batch.bytes.slice(), checksum: batch.checksum };
			batch.release();
			return copy;
		};
		const { pageCount } = guest.pages;
		for (let page = 0; page < pageCount; page++) if (!pages.includes(page)) await target.pages.apply(await send(page));
		await target.state.restore(await guest.state.capture());
		const asked: number[] = [];
		let waiting: ((page: number) => void)[] = [];
		await target.faulting.begin(bitsOf(pages, pageCount), (page) => {
			asked.push(page);
			for (const resolve of waiting.splice(0)) resolve(page);
		});
		await target.resume();
		const nextFault = () => new Promise<number>((resolve) => (waiting = [...waiting, resolve]));
		return { source: guest, target, pages, asked, nextFault, send };
	};

	const install = (target: FaultingGuest, batch: EncodedBatch): Promise<InstalledPages> =>
		target.faulting.install(batch, () => undefined);

	test("a touch of a missing page asks for it and waits until it is there", async () => {
		const { target, pages, asked, nextFault, send } = await setScene();
		const fault = nextFault();
		const reading = harness.read(target, pages[1]! * PAGE_BYTES + 100, 50);
		assert.is(await fault, pages[1]);
		assert.equal(asked, [pages[1]]);
		const installed = await install(target, await send(pages[1]!));
		assert.equal([...installed.pageIndices], [pages[1]]);
		assert.equal(new Uint8Array(await reading), contentOf(pages[1]!).slice(100, 150));
		assert.is(target.faulting.faultReport().faults, 1);
	});

	test("pages that come unasked are never asked for", async () => {
		const { target, pages, asked, send } = await setScene();
		const installed = await install(target, await send(...pages));
		assert.equal([...installed.pageIndices], pages);
		assert.is(installed.hashes.byteLength, pages.length * 16);
		for (const page of pages)
			assert.equal(new Uint8Array(await harness.read(target, page * PAGE_BYTES, 16)), contentOf(page).slice(0, 16));
		assert.equal(asked, []);
		assert.is(target.faulting.faultReport().faults, 0);
	});

	test("the buffer is given back before the pages are said to be there, and once", async () => {
		const { target, pages, send } = await setScene();
		const order: string[] = [];
		const batch = await send(pages[0]!);
		await target.faulting.install(batch, () => void order.push("taken")).then(() => order.push("installed"));
		assert.equal(order, ["taken", "installed"]);
	});

	test("a page that comes again changes nothing, and is counted", async () => {
		const { target, pages, send } = await setScene();
		await install(target, await send(pages[0]!));
		await harness.write(target, pages[0]! * PAGE_BYTES, Uint8Array.of(1, 2, 3));
		const again = await install(target, await send(pages[0]!, pages[1]!));
		assert.equal([...again.pageIndices], [pages[1]]);
		assert.is(again.hashes.byteLength, 16);
		assert.is(again.duplicates, 1);
		assert.equal(new Uint8Array(await harness.read(target, pages[0]! * PAGE_BYTES, 3)), Uint8Array.of(1, 2, 3));
	});

	test("a damaged batch is refused whole, and what waits goes on waiting", async () => {
		const { target, pages, nextFault, send } = await setScene();
		const fault = nextFault();
		const reading = harness.read(target, pages[2]! * PAGE_BYTES, 8);
		await fault;
		for (const at of [3, 20, 60]) {
			const damaged = await send(pages[1]!, pages[2]!);
			damaged.bytes[at]! ^= 4;
			assert.instance(await failure(install(target, damaged)), BatchError, `byte ${at}`);
		}
		const installed = await install(target, await send(pages[1]!, pages[2]!));
		assert.equal([...installed.pageIndices], [pages[1], pages[2]]);
		assert.equal(new Uint8Array(await reading), contentOf(pages[2]!).slice(0, 8));
	});

	test("checks end only when nothing is missing", async () => {
		const { target, pages, source, send } = await setScene();
		const early = await failure(target.faulting.end());
		assert.ok(early instanceof GuestError && early.code === "state", String(early));
		await install(target, await send(...pages));
		await target.faulting.end();
		await target.pause({ deadlineMs: 5000 });
		const { pageCount } = source.pages;
		assert.equal(
			new Uint8Array(await target.pages.hashes(0, pageCount)),
			new Uint8Array(await source.pages.hashes(0, pageCount)),
		);
		await target.resume();
		assert.equal(
			new Uint8Array(await harness.read(target, pages[0]! * PAGE_BYTES, 4)),
			contentOf(pages[0]!).slice(0, 4),
		);
	});

	test("a target that turns out to owe nothing ends its checks at once", async () => {
		const begun = await setScene(0);
		await begun.target.faulting.end();
		const { source } = begun;
		const factory = await harness.factory();
		const { guest: target } = await factory.setUp(source.state.layout(), new Map(), undefined, { faulting: true });
		open.push(target);
		for (let page = 0; page < source.pages.pageCount; page++) await target.pages.apply(await begun.send(page));
		await target.state.restore(await source.state.capture());
		assert.ok(isFaultingGuest(target));
		await target.faulting.end();
		await target.resume();
		assert.is((await harness.read(target, 0, 16)).byteLength, 16);
	});

	test("pages that are missing are neither hashed nor sent on", async () => {
		const { target, pages } = await setScene();
		await target.pause({ deadlineMs: 5000 });
		const encoding = target.pages.encode(Uint32Array.of(pages[0]!), { compress: false });
		for (const work of [encoding, target.pages.hashes(pages[0]!, 1)]) {
			const error = await failure(work);
			assert.ok(error instanceof GuestError && error.code === "missing", String(error));
		}
	});

	test("whoever waits when the guest is discarded is told", async () => {
		const { target, pages, nextFault } = await setScene();
		const fault = nextFault();
		const reading = failure(harness.read(target, pages[0]! * PAGE_BYTES, 1));
		await fault;
		await target.discard();
		assert.instance(await reading, Error);
	});

	test("waits are reported", async () => {
		const { target, pages, nextFault, send } = await setScene();
		for (const page of pages.slice(0, 3)) {
			const fault = nextFault();
			const reading = harness.read(target, page * PAGE_BYTES, 1);
			await fault;
			await install(target, await send(page));
			await reading;
		}
		await install(target, await send(pages[3]!));
		const { faults, latenciesMs, blockedMs, touchedPages } = target.faulting.faultReport();
		assert.is(faults, 3);
		assert.is(latenciesMs.length, 3);
		assert.ok(blockedMs >= 0);
		if (touchedPages !== undefined) assert.is(touchedPages, 3);
	});

	test.run();
}
