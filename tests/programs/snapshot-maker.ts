// Makes snapshots of a changing guest in a folder store until it is killed: FOLDER SEED.
// Prints `kept ID DIGEST` once a commit is acknowledged, and `leaving ID` before it deletes the oldest of its own. It prunes
// now and then, so that a kill finds writers, deletions and prunes in every stage.
import { BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const PAGES = 200;
const KEPT = 4;

const [folder = "", seed = "0"] = programArguments;
const platform = await thisPlatform();
const random = new SeededRandom(Number(seed));
const store = new SnapshotStore(await platform.openFolderStore(folder), platform);
const encoder = new BatchEncoder(createEngine());
const memory = random.fill(new Uint8Array(PAGES * PAGE_BYTES));
const layout = {
	kind: "memory",
	pageBytes: PAGE_BYTES,
	pageCount: PAGES,
	maximumPageCount: PAGES,
	resources: [],
	facts: {},
};
const own: string[] = [];

async function save(pages: readonly number[], parent: string | undefined): Promise<void> {
	const writer = await store.begin({ layout, ...(parent === undefined ? {} : { parent }) });
	for (let from = 0; from < pages.length; from += 50) {
		const pageIndices = Uint32Array.from(pages.slice(from, from + 50));
		const { bytes, checksum } = encoder.encode({ pageIndices, source: { kind: "memory", bytes: memory } });
		await writer.accept({ bytes: new Uint8Array(bytes), checksum });
	}
	const { id, digest } = await writer.commit({ state: random.fill(new Uint8Array(50)) });
	own.push(id);
	print(`kept ${id} ${digest}`);
}

print("open");
for (let round = 0; ; round++) {
	const pages = Array.from({ length: PAGES }, (_, page) => page).filter(
		() => round === 0 || random.nextU32() % 20 === 0,
	);
	for (const page of pages) random.fill(memory.subarray(page * PAGE_BYTES, page * PAGE_BYTES + 64));
	await save(pages, own.at(-1));
	if (own.length > KEPT) {
		const oldest = own.shift()!;
		print(`leaving ${oldest}`);
		await store.delete(oldest);
	}
	if (round % 3 !== 2) continue;
	try {
		await store.prune();
	} catch (error) {
		// Another process may prune at this moment, or delete what this one looks at.
		if (!(error instanceof SnapshotError && error.code === "busy")) throw error;
	}
}
