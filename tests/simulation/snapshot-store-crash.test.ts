// A folder store on files that lose what was not synced, in any order, killed and failed at any operation, again and again.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openFolder } from "../../bindings/platform/open-folder.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type GuestLayout, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { StoreError } from "../../bindings/ports/store.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { environment } from "./environment.ts";
import { type ProcessFiles, type Step, UnsyncedFiles } from "./snapshot-store-unsynced.ts";

const test = suite("snapshot store: crashes of the machine");
const SEEDS = Number(environment("PAGEFERRY_SNAPSHOT_SEEDS") ?? 250);
const FIRST = Number(environment("PAGEFERRY_SNAPSHOT_FIRST_SEED") ?? 0);
const PAGES = 8;
const PARTS = 5;
const LIVES = 4;
/** Deeds of one life of the process. */
const DEEDS = 6;

const LAYOUT: GuestLayout = {
	kind: "memory",
	pageBytes: PAGE_BYTES,
	pageCount: PAGES,
	maximumPageCount: PAGES,
	resources: [],
	facts: {},
};
const encoder = new BatchEncoder(createEngine(), { maxPages: PAGES });
const decoder = new BatchDecoder(createEngine(), { maxPages: PAGES });
const all = Array.from({ length: PAGES }, (_, page) => page);

interface Guest {
	readonly memory: Uint8Array<ArrayBuffer>;
	readonly state: Uint8Array<ArrayBuffer>;
}

/** What must be there, and what may be. */
class Ledger {
	readonly kept = new Map<string, Guest>();
	/** A commit that was not acknowledged: it may be there, whole, or not. */
	readonly attempted = new Map<string, Guest>();
	/** Deletions that were not acknowledged. */
	readonly leaving = new Set<string>();
}

class Life {
	readonly #random: SeededRandom;
	readonly #ledger: Ledger;
	readonly #store: SnapshotStore;

	constructor(random: SeededRandom, ledger: Ledger, store: SnapshotStore) {
		this.#random = random;
		this.#ledger = ledger;
		this.#store = store;
	}

	async live(): Promise<void> {
		for (let deed = 0; deed < DEEDS; deed++) {
			const kind = this.#random.nextU32() % 8;
			if (kind < 5) await this.#save();
			else if (kind < 6) await this.#delete();
			else
				await this.#attempt(() =>
					this.#store.prune({ repackBelow: (this.#random.nextU32() % 5) / 4, deadWriters: "all" }),
				);
		}
	}

	/** A failure of the medium is a typed one; anything else is a bug. */
	async #attempt<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
		try {
			return await work();
		} catch (error) {
			assert.instance(error, SnapshotError, String(error));
			assert.ok(["full", "failed"].includes((error as SnapshotError).code), String(error));
			return undefined;
		}
	}

	async #save(): Promise<void> {
		const known = [...this.#ledger.kept];
		const [parent, before] = known[this.#random.nextU32() % (known.length + 1)] ?? [];
		const guest: Guest = {
			memory: before === undefined ? new Uint8Array(PAGES * PAGE_BYTES) : before.memory.slice(),
			state: this.#random.fill(new Uint8Array(9)),
		};
		const changed = all.filter(() => this.#random.nextU32() % 3 === 0);
		for (const page of changed)
			guest.memory.set(this.#random.fill(new Uint8Array(1 + (this.#random.nextU32() % 60))), page * PAGE_BYTES);
		const writer = await this.#attempt(() =>
			this.#store.begin({ layout: LAYOUT, ...(parent === undefined ? {} : { parent }) }),
		);
		if (writer === undefined) return;
		const info = await this.#attempt(async () => {
			const pageIndices = Uint32Array.from(changed);
			const source = { kind: "memory", bytes: guest.memory } as const;
			const { bytes, checksum } = encoder.encode({ pageIndices, source });
			await writer.accept({ bytes: new Uint8Array(bytes), checksum });
			this.#ledger.attempted.set(writer.id, guest);
			return writer.commit({ state: guest.state });
		});
		if (info === undefined) {
			await this.#attempt(() => writer.abort());
			return;
		}
		this.#ledger.attempted.delete(writer.id);
		this.#ledger.kept.set(info.id, guest);
	}

	async #delete(): Promise<void> {
		const id = [...this.#ledger.kept.keys()][this.#random.nextU32() % Math.max(1, this.#ledger.kept.size)];
		if (id === undefined) return;
		this.#ledger.leaving.add(id);
		const done = await this.#attempt(async () => {
			await this.#store.delete(id);
			return true;
		});
		if (done !== true) return;
		this.#ledger.leaving.delete(id);
		this.#ledger.kept.delete(id);
	}
}

/** Everything that was acknowledged is there, and what else is there is whole. */
async function check(ledger: Ledger, store: SnapshotStore): Promise<void> {
	const listed = new Set((await store.list()).map(({ id }) => id));
	for (const [id, guest] of [...ledger.kept, ...ledger.attempted]) {
		if (!listed.delete(id)) {
			assert.ok(ledger.attempted.has(id) || ledger.leaving.has(id), `${id} was acknowledged and is lost`);
			ledger.kept.delete(id);
			continue;
		}
		ledger.kept.set(id, guest);
		await store.verify(id);
		const reader = await store.open(id);
		const memory = new Uint8Array(PAGES * PAGE_BYTES);
		for await (const { bytes, checksum } of reader.batches())
			decoder.decode(bytes, { pageCount: PAGES, checksum }).install(memory);
		assert.ok(
			memory.every((byte, i) => byte === guest.memory[i]),
			`${id}: memory`,
		);
		assert.equal(reader.state(), guest.state);
	}
	assert.equal([...listed], [], "snapshots that nobody has made");
	ledger.attempted.clear();
	ledger.leaving.clear();
}

async function run(seed: number): Promise<void> {
	const random = new SeededRandom(seed);
	const files = new UnsyncedFiles(random);
	const ledger = new Ledger();
	const open = async (process: ProcessFiles = files.process()) =>
		new SnapshotStore(await openFolder(process.files, "/store"), { clock: systemClock, random });
	for (let life = 0; life < LIVES; life++) {
		let left = 20 + (random.nextU32() % 400);
		const clumsiness = random.nextU32() % 3 === 0 ? 40 : 0;
		const step: Step = () => {
			if (left-- === 0) return "crash";
			if (clumsiness > 0 && random.nextU32() % clumsiness === 0) return random.nextU32() % 2 === 0 ? "ENOSPC" : "EIO";
			return "go on";
		};
		const process = files.process(step);
		const living = open(process).then((store) => new Life(random, ledger, store).live());
		// A store that cannot be opened on a failing medium is a typed failure too.
		await Promise.race([living, process.died]).catch((error: unknown) => {
			if (!(error instanceof StoreError && ["full", "failed"].includes(error.code))) throw error;
		});
		// Now and then it was only the process that died.
		if (random.nextU32() % 4 !== 0) files.crash();
		await check(ledger, await open());
	}
	const last = await open();
	await last.prune({ deadWriters: "all" });
	await last.prune({ deadWriters: "all" });
	await check(ledger, last);
}

for (let part = 0; part < PARTS; part++)
	test(`nothing acknowledged is lost, nothing half is visible (seeds ${part} mod ${PARTS} of ${SEEDS} from ${FIRST} on)`, async () => {
		for (let seed = FIRST + part; seed < FIRST + SEEDS; seed += PARTS) {
			try {
				await run(seed);
			} catch (error) {
				console.log(`seed ${seed}`);
				throw error;
			}
		}
	});

test.run();
