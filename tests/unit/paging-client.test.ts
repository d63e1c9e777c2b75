/** The page client against a hand-driven source, with a guest that installs when it is told to. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MoveError } from "../../bindings/handover/move-error.ts";
import { createInProcessLinks } from "../../bindings/links/in-process.ts";
import { type ClientEnd, PageClient } from "../../bindings/paging/page-client.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Link } from "../../bindings/ports/link.ts";
import { PageHashTable } from "../../bindings/wire/digest.ts";
import { decodeRecord, encodeRecord, type Record } from "../../bindings/wire/records.ts";

const test = suite("page client");

const engine = createEngine();
const LINK = { hash64: (bytes: Uint8Array) => hash64(engine, bytes) };
const PAGES = 8;
const MISSING = 0b0011_1100;

const source = new MemoryGuest({ pageCount: PAGES });
for (let page = 0; page < PAGES; page++) source.write(page * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(page + 1));
await source.pause();

/** Time that only tests move on. */
const standing = {
	now: () => 0,
	sleep: (_: number, signal?: AbortSignal) =>
		new Promise<void>((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
};

class Scene {
	readonly guest = new MemoryGuest({ pageCount: PAGES }, "paused");
	readonly client: PageClient;
	/** Lets installs through; they wait until it is called. */
	letInstall: () => void = () => undefined;
	held = false;
	readonly #installs: (() => void)[] = [];

	constructor() {
		const { faulting } = this.guest;
		const install = faulting.install.bind(faulting);
		Object.assign(faulting, {
			install: async (...args: Parameters<typeof install>) => {
				args[1](); // the buffer is copied first, as a worker's inbox does
				const copy = { bytes: args[0].bytes.slice(), checksum: args[0].checksum };
				if (this.held) await new Promise<void>((resolve) => this.#installs.push(resolve));
				return install(copy, () => undefined);
			},
		});
		this.letInstall = () => {
			for (const resolve of this.#installs.splice(0)) resolve();
		};
		const hashes = new PageHashTable(engine, PAGES);
		this.client = new PageClient({ guest: this.guest, clock: standing, hashes, stallMs: 1000 }, Uint8Array.of(MISSING));
	}

	async start(): Promise<void> {
		await this.client.begin();
		await this.guest.resume();
	}

	/** Runs the client over a fresh link. */
	connect(greet: boolean): Peer {
		const [near, far] = createInProcessLinks(LINK);
		return new Peer(
			far,
			this.client.run(near, greet).catch((error: unknown) => error),
		);
	}
}

/** The source's end of a link. */
class Peer {
	readonly said: Record[] = [];
	readonly ended: Promise<ClientEnd | unknown>;
	readonly #link: Link;

	constructor(link: Link, ended: Promise<ClientEnd | unknown>) {
		this.#link = link;
		this.ended = ended;
		void this.#listen().catch(() => undefined);
	}

	/** What the client said since the last time, but for `alive`. */
	async heard(): Promise<Record[]> {
		for (let turn = 0; turn < 3; turn++) await systemClock.sleep(0);
		return this.said.splice(0).filter(({ type }) => type !== "alive");
	}

	async send(...pages: number[]): Promise<void> {
		const batch = await source.pages.encode(Uint32Array.from(pages), { compress: false });
		await this.#link.send(encodeRecord({ type: "batch", batch }));
	}

	say(record: Record): Promise<void> {
		return this.#link.send(encodeRecord(record));
	}

	drop(): void {
		this.#link.abort(undefined);
	}

	async #listen(): Promise<void> {
		for (;;) {
			const frame = await this.#link.receive();
			const record = decodeRecord({ ...frame, payload: frame.payload.slice() });
			if (record !== undefined) this.said.push(record);
			frame.release();
		}
	}
}

const faultOf = (...pages: number[]): Record => ({ type: "fault", pageIndices: Uint32Array.from(pages) });
const takenOf = (pageIndex: number, pageCount: number): Record => ({ type: "taken", pageIndex, pageCount });
const missingOf = (bits: number): Record => ({
	type: "missing",
	firstPage: 0,
	pageCount: PAGES,
	bits: Uint8Array.of(bits),
});

test("a missing page is asked for once, and complete is said when all are installed", async () => {
	const scene = new Scene();
	await scene.start();
	const peer = scene.connect(false);
	const reads = [scene.guest.load(2 * PAGE_BYTES, 1), scene.guest.load(2 * PAGE_BYTES, 1)];
	assert.equal(await peer.heard(), [faultOf(2)]);
	await peer.send(2);
	assert.equal(await Promise.all(reads), [Uint8Array.of(3), Uint8Array.of(3)]);
	assert.equal(await peer.heard(), [takenOf(2, 1)]);
	await peer.send(3, 4, 5);
	const [taken, complete] = await peer.heard();
	assert.equal(taken, takenOf(3, 3));
	assert.is(complete?.type, "complete");
	assert.ok(complete?.type === "complete" && complete.report.faults === 1);
	await peer.say({ type: "accepted" });
	assert.equal(await peer.ended, { outcome: "complete" });
});

test("a page whose bytes have come is not asked for, and complete waits for its installation", async () => {
	const scene = new Scene();
	await scene.start();
	scene.held = true;
	const peer = scene.connect(false);
	await peer.send(2, 3, 4, 5);
	assert.equal(await peer.heard(), [takenOf(2, 4)]);
	const reading = scene.guest.load(3 * PAGE_BYTES, 1);
	assert.equal(await peer.heard(), []);
	assert.is(scene.client.missingPages, 4);
	scene.letInstall();
	assert.equal(await reading, Uint8Array.of(4));
	assert.equal(
		(await peer.heard()).map(({ type }) => type),
		["complete"],
	);
});

test("after a lost link only what has not come is owed, and what is waited for is asked for again", async () => {
	const scene = new Scene();
	await scene.start();
	scene.held = true;
	const first = scene.connect(false);
	await first.send(2);
	const waiting = scene.guest.touch(5 * PAGE_BYTES, 1);
	await first.heard();
	first.drop();
	assert.instance(await first.ended, MoveError);
	const second = scene.connect(true);
	assert.equal(await second.heard(), [missingOf(0b0011_1000), faultOf(5)], "page 2 is on its way into memory");
	scene.letInstall();
	scene.held = false;
	await second.send(3, 4, 5);
	await waiting;
	assert.equal(
		(await second.heard()).map(({ type }) => type),
		["taken", "complete"],
	);
	assert.is(scene.client.duplicates, 0);
});

test("pages that come twice are counted and change nothing", async () => {
	const scene = new Scene();
	await scene.start();
	const peer = scene.connect(false);
	await peer.send(2, 3);
	await peer.heard();
	scene.guest.write(2 * PAGE_BYTES, Uint8Array.of(99));
	await peer.send(2, 4);
	await peer.heard();
	assert.is(scene.client.duplicates, 1);
	assert.is(scene.client.missingPages, 1);
	assert.equal(scene.guest.read(2 * PAGE_BYTES, 1), Uint8Array.of(99));
});

test("a damaged batch ends the link, and its pages are owed over the next", async () => {
	const scene = new Scene();
	await scene.start();
	const peer = scene.connect(false);
	const waiting = scene.guest.touch(2 * PAGE_BYTES, 1);
	const batch = await source.pages.encode(Uint32Array.of(2), { compress: false });
	batch.bytes[60]! ^= 1;
	await peer.say({ type: "batch", batch });
	const error = await peer.ended;
	assert.ok(error instanceof MoveError && error.code === "corrupt", String(error));
	const next = scene.connect(true);
	assert.equal(await next.heard(), [missingOf(MISSING), faultOf(2)]);
	await next.send(2, 3, 4, 5);
	await waiting;
});

test("pages that turn out to differ are named, and what the state does not allow is refused", async () => {
	const scene = new Scene();
	await scene.start();
	const peer = scene.connect(false);
	await peer.send(2, 3, 4, 5);
	await peer.heard();
	const hashes = new PageHashTable(engine, PAGES);
	const { bytes: _, ...batch } = await source.pages.encode(Uint32Array.of(2, 3, 5), { compress: false });
	hashes.set(batch.pageIndices, batch.hashes);
	await peer.say({ type: "hashes", firstPage: 0, hashes: hashes.rangeBytes(0, PAGES) });
	assert.equal(await peer.ended, { outcome: "corrupt", pageIndices: [4], pageCount: 1 });
	assert.equal(await peer.heard(), [{ type: "corrupt", pageIndices: [4], pageCount: 1 }]);

	const other = new Scene();
	await other.start();
	const early = other.connect(false);
	await early.say({ type: "accepted" });
	const error = await early.ended;
	assert.ok(error instanceof MoveError && error.code === "protocol", String(error));
});

test.run();
