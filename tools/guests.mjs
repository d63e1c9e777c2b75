// `npm run guests`: prepares what the v86 and QEMU guests boot from, out of Debian packages, in an ignored folder. Nothing of
// it is committed or published: BIOS, kernel and busybox are other people's work under the GPL and LGPL.
//   node tools/guests.mjs [--refresh] [--only NAME,…] [--folder FOLDER]
//
//   build/guests/assets/NAME/   manifest.json, vmlinuz, initramfs.gz; for v86 bios.bin and vgabios.bin as well
//   build/guests/ready/v86/     a Linux that has booted once, as a snapshot store
//
// Each folder is made aside and put in place by one rename at its end: what is there is complete. What is there already and
// belongs to this recipe is kept, without asking the network; --refresh asks for newer packages. One that cannot be made is
// named, with what to do, and the others are made: the tests that need it say so themselves.
import { createHash } from "node:crypto";
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statfsSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DebianArchive, installed, Missing, need, readPacked, within } from "./guests/debian.mjs";
import { writeInitramfs } from "./guests/initramfs.mjs";
import { compileProgram } from "./guests/programs.mjs";
import { bootOnce, readyRecipe } from "./guests/ready-v86.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const here = join(root, "tools/guests");
const { values: options } = parseArgs({
	options: {
		refresh: { type: "boolean", default: false },
		only: { type: "string" },
		folder: { type: "string", default: join(root, "build/guests") },
	},
});
/** Where everything goes; removing it is always safe. */
const FOLDER = options.folder;
/** What drives v86's balloon. Loaded only in machines that have one: see init.sh. */
const BALLOON = [
	"virtio",
	"virtio_ring",
	"virtio_pci_modern_dev",
	"virtio_pci_legacy_dev",
	"virtio_pci",
	"virtio_balloon",
].map((name) => `drivers/virtio/${name}.ko`);
const NE2000 = ["drivers/net/ethernet/8390/8390.ko", "drivers/net/ethernet/8390/ne2k-pci.ko"];

/**
 * The kernels. `meta` is the package that depends on the newest one, so that no ABI number stands here.
 * v86: without PAE, so that dirty pages are found by the patched page walk. v86-pae: with it, for the tests of what is done then.
 * Modules in the order in which they load; one that is built in or missing is left out.
 */
const ASSETS = {
	v86: { architecture: "i386", meta: "linux-image-686", modules: NE2000, balloon: BALLOON, hasBios: true },
	"v86-pae": { architecture: "i386", meta: "linux-image-686-pae", modules: NE2000, hasBios: true },
	qemu: {
		architecture: "amd64",
		meta: "linux-image-cloud-amd64",
		modules: [
			...["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_mmio"].map(
				(name) => `drivers/virtio/${name}.ko`,
			),
			...["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"],
			"drivers/virtio/virtio_balloon.ko",
		],
		hasBios: false,
	},
};

const PROGRAMS = ["counter", "oracle", "wire"];
/** QEMU guests' memory lies in /dev/shm: the tests have up to six of 128 MB at a time. */
const SHARED_MEMORY_MIB = 1024;

/** The recipe's hash: assets made by another version of this tool are made again. */
function recipe() {
	const hash = createHash("sha256");
	const files = [
		"tools/guests.mjs",
		...readdirSync(here, { recursive: true }).map((name) => join("tools/guests", String(name))),
	];
	for (const file of files.sort())
		if (statSync(join(root, file)).isFile()) hash.update(file).update(readFileSync(join(root, file)));
	return hash.digest("hex");
}

/** Puts a finished folder in place. Between the two renames there is none, never half of one. */
function install(made, place) {
	const old = `${made}-old`;
	mkdirSync(dirname(place), { recursive: true });
	if (existsSync(place)) renameSync(place, old);
	renameSync(made, place);
	rmSync(old, { recursive: true, force: true });
}

const manifestOf = (folder) =>
	existsSync(join(folder, "manifest.json"))
		? JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"))
		: undefined;

/** What has been fetched and compiled in this run: the same for several assets. */
class Kitchen {
	#archives = new Map();
	#fetched = new Map();
	#programs;
	#work;

	constructor(work) {
		this.#work = work;
	}

	archive(architecture) {
		if (!this.#archives.has(architecture))
			this.#archives.set(architecture, new DebianArchive(join(this.#work, architecture), architecture));
		return this.#archives.get(architecture);
	}

	/** Fetches and unpacks a package of i386. */
	package(name) {
		if (!this.#fetched.has(name)) this.#fetched.set(name, { name, ...this.archive("i386").unpack(name) });
		return this.#fetched.get(name);
	}

	/** What every initramfs has. The guests' programs are 32-bit everywhere: the amd64 kernel runs them too. */
	programs() {
		this.#programs ??= [
			...PROGRAMS.map((name) => ({
				path: `bin/${name}`,
				mode: 0o755,
				bytes: compileProgram(join(here, "linux", `${name}.c`), join(this.#work, name)),
			})),
			...[
				["init", "init.sh"],
				["bin/md5loop", "md5loop.sh"],
			].map(([path, source]) => ({ path, mode: 0o755, bytes: readFileSync(join(here, "linux", source)) })),
		];
		return this.#programs;
	}
}

/** Makes one asset. @throws {Missing} */
function build(name, hash, kitchen, made) {
	const { architecture, meta, modules, balloon = [], hasBios } = ASSETS[name];
	mkdirSync(made, { recursive: true });
	const busybox = kitchen.package("busybox-static");
	const kernel = kitchen.archive(architecture).unpackKernel(meta);
	const used = [`${busybox.name} ${busybox.version} (i386)`, `${kernel.name} ${kernel.version} (${architecture})`];
	if (hasBios) {
		const seabios = kitchen.package("seabios");
		used.push(`${seabios.name} ${seabios.version} (i386)`);
		copyFileSync(join(seabios.folder, "usr/share/seabios/bios.bin"), join(made, "bios.bin"));
		copyFileSync(join(seabios.folder, "usr/share/seabios/vgabios-stdvga.bin"), join(made, "vgabios.bin"));
	}
	const shell = { path: "bin/busybox", mode: 0o755, bytes: readFileSync(within(busybox.folder, "bin/busybox")) };
	addKernel(made, kernel.folder, { modules, balloon }, [shell, ...kitchen.programs()]);
	for (const line of used) console.log(`  ${line}`);
	writeManifest(made, hash, used);
	install(made, join(FOLDER, "assets", name));
}

/** A kernel and its initramfs. */
function addKernel(place, folder, { modules, balloon }, programs) {
	const kernel = readdirSync(join(folder, "boot")).find((name) => name.startsWith("vmlinuz-"));
	const tree = join(within(folder, "lib/modules"), kernel.slice("vmlinuz-".length), "kernel");
	const taken = (names) =>
		names.flatMap((module) => {
			const bytes = readPacked(join(tree, module));
			return bytes === undefined ? [] : [{ path: `lib/modules/${module.replace(/^.*\//, "")}`, mode: 0o644, bytes }];
		});
	const list = (path, files) => ({
		path: `lib/modules/${path}`,
		mode: 0o644,
		bytes: Buffer.from(files.map((file) => `/${file.path}\n`).join("")),
	});
	const [files, forBalloon] = [taken(modules), taken(balloon)];
	const lists = [list("order", files), list("balloon-order", forBalloon)];
	copyFileSync(join(folder, "boot", kernel), join(place, "vmlinuz"));
	writeInitramfs(join(place, "initramfs.gz"), [...programs, ...files, ...forBalloon, ...lists]);
}

/** Written last: a folder that has it is complete. */
function writeManifest(made, hash, packages) {
	const files = Object.fromEntries(
		readdirSync(made, { recursive: true })
			.map(String)
			.filter((name) => statSync(join(made, name)).isFile())
			.sort()
			.map((name) => [
				name,
				{
					byteLength: statSync(join(made, name)).size,
					sha256: createHash("sha256")
						.update(readFileSync(join(made, name)))
						.digest("hex"),
				},
			]),
	);
	writeFileSync(join(made, "manifest.json"), `${JSON.stringify({ recipe: hash, packages, files }, null, "\t")}\n`);
}

/** What a run that was killed has left behind. */
function sweep() {
	for (const name of existsSync(FOLDER) ? readdirSync(FOLDER) : []) {
		const pid = /^making-(\d+)$/.exec(name)?.[1];
		if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(FOLDER, name), { recursive: true });
	}
}

/** Does one part. @returns what is missing for it, if something is */
async function attempt(what, work) {
	try {
		await work();
		return [];
	} catch (error) {
		if (!(error instanceof Missing)) throw error;
		console.error(`guests: ${what}: ${error.message}`);
		return [what];
	}
}

/** No asset is missing where there is too little: it is said, and the tests say it again. */
function lookForRoom() {
	const { bsize, blocks } = statfsSync("/dev/shm");
	const MiB = Math.floor((bsize * blocks) / 2 ** 20);
	if (MiB < SHARED_MEMORY_MIB)
		console.error(
			`guests: /dev/shm has ${MiB} MiB, and QEMU guests' memory lies there: as root, run\n` +
				"  mount -o remount,size=2G /dev/shm\nor start the container with --shm-size=2g: without it tests of Linux under QEMU are skipped",
		);
}

async function makeReady() {
	const assets = join(FOLDER, "assets/v86");
	const ready = join(FOLDER, "ready/v86");
	if (!existsSync(join(assets, "manifest.json"))) throw new Missing("there is no kernel to boot, see above");
	const from = readyRecipe(assets);
	if (manifestOf(ready)?.recipe === from) return console.log(`v86, booted: up to date (${ready})`);
	console.log("v86, booted: booting Linux once");
	const made = join(FOLDER, `making-${process.pid}/ready`);
	await bootOnce(assets, made);
	writeFileSync(join(made, "manifest.json"), `${JSON.stringify({ recipe: from }, null, "\t")}\n`);
	install(made, ready);
	console.log(`v86, booted: ready (${ready})`);
}

async function main() {
	need(["apt-get", "apt-cache", "dpkg-deb"], "this needs Debian's apt: no packages can be fetched here");
	const names = options.only?.split(",") ?? Object.keys(ASSETS);
	const unknown = names.find((name) => ASSETS[name] === undefined);
	if (unknown !== undefined) throw new Missing(`--only ${unknown}: there are ${Object.keys(ASSETS).join(", ")}`);
	// What runs here in the end, QEMU, its absence harms no asset; without a compiler there is none.
	const missing = await attempt("programs of the system", () => installed(["gcc", "qemu-system-x86", "xz-utils"]));
	sweep();
	const work = join(FOLDER, `making-${process.pid}`);
	process.on("exit", () => rmSync(work, { recursive: true, force: true }));
	const hash = recipe();
	const kitchen = new Kitchen(work);
	for (const name of names) {
		const place = join(FOLDER, "assets", name);
		if (manifestOf(place)?.recipe === hash && !options.refresh) {
			console.log(`${name}: up to date (${place})`);
			continue;
		}
		console.log(`${name}: from Debian packages`);
		missing.push(...(await attempt(name, () => build(name, hash, kitchen, join(work, "assets", name)))));
		if (manifestOf(place)?.recipe === hash) console.log(`${name}: ready (${place})`);
	}
	if (names.includes("v86")) missing.push(...(await attempt("v86, booted", makeReady)));
	if (names.includes("qemu")) lookForRoom();
	if (missing.length === 0) return;
	console.error(`guests: missing: ${missing.join("; ")}. Tests that need it are skipped, and say so`);
	process.exitCode = 1;
}

if ((await attempt("nothing was done", main)).length > 0) process.exitCode = 1;
