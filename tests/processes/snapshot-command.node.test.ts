// pageferry snapshot: what it says of a folder of snapshots, its exit codes, and that a failure leaves nothing half behind.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { type SnapshotInfo, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { guestOf, save } from "../simulation/snapshot-store-world.ts";

const test = suite("pageferry snapshot");
const COMMAND = "dist/pageferry.js";

function run(...args: readonly string[]) {
	const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, "snapshot", ...args], { encoding: "utf8" });
	return { code: status, output: stdout, errors: stderr };
}

/** A folder with a store of three snapshots, of which each is the child of the one before. */
async function inFolder(
	body: (place: { folder: string; store: string; infos: SnapshotInfo[] }) => Promise<void> | void,
) {
	const folder = mkdtempSync(join(tmpdir(), "snapshot-command-"));
	try {
		const store = join(folder, "store");
		const snapshots = await open(store);
		const guest = guestOf(new SeededRandom(1), 40);
		const infos: SnapshotInfo[] = [];
		for (let i = 0; i < 3; i++) {
			guest.write(i * PAGE_BYTES, Uint8Array.of(100 + i, i));
			const parent = infos.at(-1)?.id;
			const more = parent === undefined ? {} : { parent, pages: [i] };
			infos.push(await save(snapshots, guest, { label: `number ${i}`, ...more }));
		}
		await body({ folder, store, infos });
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const open = async (store: string) => {
	const platform = nodePlatform();
	return new SnapshotStore(await platform.openFolderStore(store), platform);
};

/** Turns a byte in the middle of the object of a store. */
function damage(store: string, role: string, id: string): void {
	const objects = join(store, "objects");
	const name = readdirSync(objects).find((file) => file.startsWith(`snapshots+${role}s+${id}`))!;
	const bytes = readFileSync(join(objects, name));
	bytes[Math.floor(bytes.length / 2)]! ^= 1;
	writeFileSync(join(objects, name), bytes);
}

const USAGES: readonly (readonly [readonly string[], RegExp])[] = [
	[[], /say what to do: list, show, verify, delete, prune, export, import/],
	[["look", "store"], /snapshot look: say what to do/],
	[["list"], /snapshot list: name the folder of the store/],
	[["list", "store", "more"], /Unexpected argument 'more'/],
	[["list", "store", "--colour"], /Unknown option '--colour'/],
	[["show", "store"], /snapshot show: name a snapshot by its id/],
	[["show", "store", "xyz"], /xyz: is no id/],
	[["export", "store", "0123abcd"], /name a snapshot by its id, and a file/],
	[["import", "store"], /name a file, or - for standard input/],
	[["prune", "store", "--keep-last", "0"], /--keep-last 0: must be a whole number from 1/],
	[["prune", "store", "--repack-below", "2"], /--repack-below 2: must be a number from 0 to 1/],
	[["prune", "store", "--keep", "0123abcd,"], /is no id/],
];
for (const [args, says] of USAGES)
	test(`snapshot ${args.join(" ")}: exit code 2`, () => {
		const { code, errors } = run(...args);
		assert.is(code, 2, errors);
		assert.match(errors, says);
	});

test("a folder without a store is not made into one, and one that is something else is left alone", () =>
	inFolder(({ folder }) => {
		for (const verb of [["list"], ["verify"], ["prune"]]) {
			const { code, errors } = run(...verb, join(folder, "typo"));
			assert.is(code, 1);
			assert.match(errors, /there is no store in this folder/);
		}
		assert.not.ok(existsSync(join(folder, "typo")));
		writeFileSync(join(folder, "a-file"), "");
		assert.match(run("list", join(folder, "a-file")).errors, /there is no store in this folder/);
		const { code, errors } = run("import", join(folder, "new"), join(folder, "no-such.image"));
		assert.is(code, 1);
		assert.match(errors, /there is no such file/);
		assert.not.ok(existsSync(join(folder, "new")));
	}));

test("list and show say what there is, also as JSON; the beginning of an id will do", () =>
	inFolder(({ folder, store, infos }) => {
		const json = join(folder, "list.json");
		const { code, output, errors } = run("list", store, "--json", json);
		assert.is(code, 0, errors);
		const lines = output.trimEnd().split("\n");
		assert.is(lines.length, 4);
		for (const [i, { id }] of infos.entries())
			assert.match(lines[i + 1]!, new RegExp(`^${id} .*160.0 KiB.* number ${i}$`));
		const { snapshots, unreadable } = JSON.parse(readFileSync(json, "utf8"));
		assert.equal(snapshots, JSON.parse(JSON.stringify(infos)));
		assert.equal(unreadable, []);
		const shown = run("show", store, infos[1]!.id.slice(0, 12));
		assert.is(shown.code, 0, shown.errors);
		for (const text of [infos[1]!.id, infos[1]!.digest, infos[0]!.id, "40 pages", "number 1"])
			assert.ok(shown.output.includes(text), text);
		const missing = run("show", store, "0".repeat(32));
		assert.is(missing.code, 1);
		assert.match(missing.errors, /there is no snapshot 0/);
	}));

test("verify reads all of them, names what is damaged, and goes on", () =>
	inFolder(({ store, infos }) => {
		assert.is(run("verify", store).code, 0);
		damage(store, "pack", infos[2]!.id);
		const all = run("verify", store);
		assert.is(all.code, 1);
		assert.match(all.output, new RegExp(`${infos[0]!.id} is whole`));
		assert.match(all.errors, new RegExp(`${infos[2]!.id} is not whole \\(corrupt\\).*snapshots/packs/`));
		assert.match(all.errors, /1 of 3 snapshots/);
		assert.is(run("verify", store, infos[0]!.id, infos[1]!.id).code, 0);
		assert.is(run("verify", store, infos[2]!.id).code, 1);
	}));

test("a snapshot that cannot be read is named, the others are listed, nothing is pruned; it can be deleted", () =>
	inFolder(({ store, infos }) => {
		damage(store, "manifest", infos[2]!.id);
		const listed = run("list", store);
		assert.is(listed.code, 1);
		assert.match(listed.errors, new RegExp(`${infos[2]!.id} cannot be read \\(corrupt\\)`));
		for (const { id } of infos.slice(0, 2)) assert.ok(listed.output.includes(id));
		const before = readdirSync(join(store, "objects")).length;
		assert.is(run("prune", store, "--keep-last", "1").code, 1);
		assert.is(readdirSync(join(store, "objects")).length, before);
		assert.is(run("delete", store, infos[2]!.id.slice(0, 10)).code, 0);
		assert.is(run("verify", store).code, 0);
		assert.is(run("prune", store).code, 0);
		assert.is(run("verify", store).code, 0);
	}));

test("prune keeps what is named and the newest, and refuses an id that there is not", () =>
	inFolder(async ({ store, infos }) => {
		const typo = run("prune", store, "--keep", "0".repeat(32));
		assert.is(typo.code, 1);
		assert.is((await (await open(store)).list()).length, 3);
		const { code, output, errors } = run("prune", store, "--keep", infos[0]!.id.slice(0, 8), "--keep-last", "1");
		assert.is(code, 0, errors);
		assert.match(output, /^1 snapshots, \d+ objects removed/);
		assert.ok(output.includes(infos[1]!.id));
		assert.equal(
			(await (await open(store)).list()).map(({ id }) => id),
			[infos[0]!.id, infos[2]!.id],
		);
		assert.is(run("verify", store).code, 0);
	}));

test("what a dead writer left waits until somebody says that it is dead", () =>
	inFolder(async ({ store, infos }) => {
		const guest = guestOf(new SeededRandom(9), 40);
		const writer = await (await open(store)).begin({ layout: guest.state.layout() });
		assert.is(run("delete", store, infos[0]!.id, infos[1]!.id, infos[2]!.id).code, 0);
		const waiting = run("prune", store);
		assert.is(waiting.code, 0, waiting.errors);
		assert.match(waiting.output, new RegExp(`objects wait for writers that may be at work: ${writer.id}`));
		assert.match(run("prune", store, "--dead-writers").output, /^0 snapshots, [1-9]\d* objects removed/);
		assert.equal(readdirSync(join(store, "objects")), []);
	}));

test("export and import: into a file, and from one store into another through a pipe", () =>
	inFolder(async ({ folder, store, infos }) => {
		const file = join(folder, "one.image");
		const exported = run("export", store, infos[2]!.id, file);
		assert.is(exported.code, 0, exported.errors);
		const imported = run("import", join(folder, "other"), file);
		assert.is(imported.code, 0, imported.errors);
		const id = imported.output.trim();
		const there = await (await open(join(folder, "other"))).list();
		assert.equal(
			there.map((info) => [info.id, info.digest, info.label]),
			[[id, infos[2]!.digest, "number 2"]],
		);
		const pipe = `set -o pipefail; "$0" ${COMMAND} snapshot export "$1" "$2" - | "$0" ${COMMAND} snapshot import "$3" -`;
		const piped = spawnSync("bash", ["-c", pipe, process.execPath, store, infos[1]!.id, join(folder, "third")]);
		assert.is(piped.status, 0, `${piped.stderr}`);
		assert.is((await (await open(join(folder, "third"))).list())[0]!.digest, infos[1]!.digest);
		assert.equal(readdirSync(folder).sort(), ["one.image", "other", "store", "third"]);
	}));

test("an export that fails leaves no file, an import of half an image no snapshot", () =>
	inFolder(async ({ folder, store, infos }) => {
		const file = join(folder, "one.image");
		assert.is(run("export", store, infos[2]!.id, file).code, 0);
		const bytes = readFileSync(file);
		writeFileSync(file, bytes.subarray(0, bytes.length - 100));
		const half = run("import", store, file);
		assert.is(half.code, 1);
		assert.match(half.errors, /the image ends within it/);
		assert.is((await (await open(store)).list()).length, 3);
		damage(store, "pack", infos[0]!.id);
		const target = join(folder, "damaged.image");
		const failed = run("export", store, infos[0]!.id, target);
		assert.is(failed.code, 1);
		assert.match(failed.errors, /snapshots\/packs\//);
		assert.equal(readdirSync(folder).sort(), ["one.image", "store"]);
		const nowhere = run("export", store, infos[1]!.id, join(folder, "no/such/folder"));
		assert.is(nowhere.code, 1);
		assert.match(nowhere.errors, /no\/such\/folder: ENOENT/);
	}));

test("an import that is ended while it waits for its input leaves nothing", () =>
	inFolder(async ({ store }) => {
		const before = readdirSync(join(store, "objects")).sort();
		const heads = () => readdirSync(join(store, "references")).sort();
		const headsBefore = heads();
		const image: Buffer[] = [];
		for await (const chunk of (await open(store)).export((await (await open(store)).list())[0]!.id))
			image.push(Buffer.from(chunk));
		const child = spawn(process.execPath, [COMMAND, "snapshot", "import", store, "-"], {
			stdio: ["pipe", "ignore", "inherit"],
		});
		child.stdin.write(Buffer.concat(image).subarray(0, -1000));
		// Its place in the store is there: it has begun.
		while (heads().length === headsBefore.length) await new Promise((resolve) => setTimeout(resolve, 5));
		child.kill("SIGTERM");
		const [code] = await once(child, "close");
		assert.is(code, 143);
		assert.equal(readdirSync(join(store, "objects")).sort(), before);
		assert.equal(heads(), headsBefore);
		assert.equal(readdirSync(join(store, "temporary")), []);
	}));

test.run();
