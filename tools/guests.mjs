// `npm run guests`: prepares what the v86 and QEMU guests boot from, out of Debian packages, in an ignored folder. Nothing of
// it is committed or published: BIOS, kernel and busybox are other people's work under the GPL and LGPL.
//   node tools/guests.mjs [--refresh]
//
//   build/guests/assets/   manifest.json, bios.bin, vgabios.bin, v86/{vmlinuz,initramfs.gz}, qemu/{vmlinuz,initramfs.gz}
//   build/guests/ready/    v86/: a Linux that has booted once, as a snapshot store
//
// A folder is made aside and put in place by one rename at its end: what is there is complete. What is there already and
// belongs to this recipe is kept, without asking the network; --refresh asks for newer packages.
import { createHash } from "node:crypto";
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DebianArchive, installed, need } from "./guests/debian.mjs";
import { writeInitramfs } from "./guests/initramfs.mjs";
import { compileProgram } from "./guests/programs.mjs";
import { bootOnce, readyRecipe } from "./guests/ready-v86.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const here = join(root, "tools/guests");
/** Where everything goes; removing it is always safe. */
const FOLDER = join(root, "build/guests");

/** Programs that the tool itself runs, and QEMU: installed in the system. */
const SYSTEM = ["gcc", "qemu-system-x86"];

/**
 * The kernels. `meta` is the package that depends on the newest one, so that no ABI number stands here.
 * v86 has no PAE, so its guest needs the i686 kernel without it: dirty pages are then found by the patched page walk.
 * Modules in the order in which they load; one that is built in or missing is left out.
 */
const KERNELS = {
	v86: {
		architecture: "i386",
		meta: "linux-image-686",
		modules: ["drivers/net/ethernet/8390/8390.ko", "drivers/net/ethernet/8390/ne2k-pci.ko"],
	},
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
	},
};

const PROGRAMS = ["counter", "oracle", "wire"];

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

function buildAssets(hash) {
	const work = join(FOLDER, `making-${process.pid}`);
	const made = join(work, "assets");
	mkdirSync(made, { recursive: true });
	const packages = {};
	const fetched = (archive, name) => {
		const { folder, version } = archive.unpack(name);
		packages[`${name}:${archive.architecture}`] = version;
		console.log(`  ${name} ${version} (${archive.architecture})`);
		return folder;
	};

	const archives = new Map();
	const archiveOf = (architecture) => {
		if (!archives.has(architecture))
			archives.set(architecture, new DebianArchive(join(work, architecture), architecture));
		return archives.get(architecture);
	};
	// The guests' programs are 32-bit on both: the amd64 kernel runs them too.
	const i386 = archiveOf("i386");
	const seabios = join(fetched(i386, "seabios"), "usr/share/seabios");
	copyFileSync(join(seabios, "bios.bin"), join(made, "bios.bin"));
	copyFileSync(join(seabios, "vgabios-stdvga.bin"), join(made, "vgabios.bin"));
	const programs = [
		{ path: "bin/busybox", mode: 0o755, bytes: readFileSync(join(fetched(i386, "busybox-static"), "bin/busybox")) },
	];
	for (const name of PROGRAMS)
		programs.push({
			path: `bin/${name}`,
			mode: 0o755,
			bytes: compileProgram(join(here, "linux", `${name}.c`), join(work, name)),
		});
	for (const [path, source] of [
		["init", "init.sh"],
		["bin/md5loop", "md5loop.sh"],
	])
		programs.push({ path, mode: 0o755, bytes: readFileSync(join(here, "linux", source)) });

	for (const [guest, { architecture, meta, modules }] of Object.entries(KERNELS)) {
		const archive = archiveOf(architecture);
		addKernel(join(made, guest), fetched(archive, archive.newestKernel(meta)), modules, programs);
	}
	writeManifest(made, hash, packages);
	install(made, join(FOLDER, "assets"));
}

/** A kernel and its initramfs. */
function addKernel(place, folder, modules, programs) {
	const kernel = readdirSync(join(folder, "boot")).find((name) => name.startsWith("vmlinuz-"));
	const tree = join(folder, "lib/modules", kernel.slice("vmlinuz-".length), "kernel");
	const found = modules.filter((module) => existsSync(join(tree, module)));
	const files = found.map((module) => ({
		path: `lib/modules/${module.replace(/^.*\//, "")}`,
		mode: 0o644,
		bytes: readFileSync(join(tree, module)),
	}));
	const order = {
		path: "lib/modules/order",
		mode: 0o644,
		bytes: Buffer.from(`${files.map(({ path }) => `/${path}`).join("\n")}\n`),
	};
	mkdirSync(place);
	copyFileSync(join(folder, "boot", kernel), join(place, "vmlinuz"));
	writeInitramfs(join(place, "initramfs.gz"), [...programs, ...files, order]);
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

async function main() {
	const { values: options } = parseArgs({ options: { refresh: { type: "boolean", default: false } } });
	need(["apt-get", "apt-cache", "dpkg-deb"], "this needs Debian's apt: no packages can be fetched here");
	installed(SYSTEM);
	sweep();
	process.on("exit", () => rmSync(join(FOLDER, `making-${process.pid}`), { recursive: true, force: true }));
	const hash = recipe();
	const assets = join(FOLDER, "assets");
	if (manifestOf(assets)?.recipe === hash && !options.refresh) console.log(`assets: up to date (${assets})`);
	else {
		console.log("assets: from Debian packages");
		buildAssets(hash);
		console.log(`assets: ready (${assets})`);
	}
	const ready = join(FOLDER, "ready/v86");
	const from = readyRecipe(assets);
	if (manifestOf(ready)?.recipe === from) console.log(`v86: up to date (${ready})`);
	else {
		console.log("v86: booting Linux once");
		const made = join(FOLDER, `making-${process.pid}/ready`);
		await bootOnce(assets, made);
		writeFileSync(join(made, "manifest.json"), `${JSON.stringify({ recipe: from }, null, "\t")}\n`);
		install(made, ready);
		console.log(`v86: ready (${ready})`);
	}
}

await main();
