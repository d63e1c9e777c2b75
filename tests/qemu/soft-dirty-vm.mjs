// Soft-dirty marks on a kernel that has them: Debian's own, which `npm run guests` has prepared, boots under QEMU with this
// Node and this QEMU in its initramfs, and runs the suite of trackers there: a QEMU in a QEMU, both in software. Takes about a
// minute on two idle cores, so it is a command of its own: `npm run test:soft-dirty`. Ends in `N passed, N failed`.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { archive } from "../../tools/guests/initramfs.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const SUITE = "guests/qemu-tracking.test.ts";
const ASSETS = join(root, "build/guests/assets/qemu");
const QEMU = "/usr/bin/qemu-system-x86_64";
/** QEMU's own parts that are not in its executable, where Debian puts them. */
const QEMU_PARTS = [
	"/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",
	"/usr/share/seabios/bios-256k.bin",
	"/usr/share/qemu/kvmvapic.bin",
];
/** What a bundle does not have in it (tests/run.mjs). */
const PACKAGES = ["uvu", "kleur", "dequal", "diff", "mri", "@assemblyscript/loader"];
const LIMIT_MS = 600_000;
const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t tmpfs tmp /tmp
$b mkdir /dev/shm; $b mount -t tmpfs shm /dev/shm
export PATH=/usr/bin NO_COLOR=1
cd /app; node run-suites.mjs suite.js
$b poweroff -f
`;

const folder = join(root, "build", `soft-dirty-vm-${process.pid}`);
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
mkdirSync(folder, { recursive: true });
for (const path of [join(ASSETS, "vmlinuz"), join(ASSETS, "initramfs.gz"), QEMU, ...QEMU_PARTS])
	if (!existsSync(path)) end(`skipped: ${path} is not there: npm run guests, apt install qemu-system-x86`, 0, 0);

const initrd = join(folder, "initrd");
const head = readFileSync(join(ASSETS, "initramfs.gz"));
const padding = Buffer.alloc((4 - (head.length % 4)) % 4);
writeFileSync(initrd, Buffer.concat([head, padding, await contents()]));
const output = await run([
	...[
		"-accel",
		"tcg,thread=multi",
		"-cpu",
		"max",
		"-smp",
		"2",
		"-m",
		"1G",
		"-nodefaults",
		"-no-user-config",
		"-no-reboot",
	],
	...["-display", "none", "-serial", "stdio", "-kernel", join(ASSETS, "vmlinuz"), "-initrd", initrd],
	...["-append", "console=ttyS0 quiet panic=-1 no_timer_check"],
]);
const [, passed = 0, failed = 0] = /^(\d+) passed, (\d+) failed\r?$/m.exec(output)?.map(Number) ?? [];
const found = output.includes("soft-dirty marks: found");
if (!found) console.log("the kernel inside has no soft-dirty marks, or the suite did not come to them");
end("", passed, failed + (found ? 0 : 1));

/** The suite, its runner, Node and QEMU with their libraries. */
async function contents() {
	const places = { suite: `tests/${SUITE}`, "qemu-ram-node-worker": "bindings/platform/node/qemu-ram-node-worker.ts" };
	await build({
		entryPoints: Object.fromEntries(Object.entries(places).map(([name, path]) => [name, join(root, path)])),
		...{
			outdir: join(folder, "app"),
			bundle: true,
			splitting: true,
			format: "esm",
			platform: "node",
			target: "node20",
		},
		...{ packages: "external", logLevel: "warning" },
	});
	const files = new Map([
		["init", Buffer.from(INIT)],
		["app/package.json", Buffer.from('{"type":"module"}')],
		["app/run-suites.mjs", readFileSync(join(root, "tests/run-suites.mjs"))],
		["usr/bin/node", readFileSync(process.execPath)],
	]);
	const add = (place, path) => files.set(place, readFileSync(path));
	for (const name of readdirSync(join(folder, "app"))) add(`app/${name}`, join(folder, "app", name));
	for (const name of PACKAGES)
		for (const file of readdirSync(join(root, "node_modules", name), { recursive: true, withFileTypes: true })) {
			const path = join(file.parentPath ?? file.path, file.name);
			if (file.isFile()) add(`app${path.slice(root.length)}`, path);
		}
	for (const path of [QEMU, ...QEMU_PARTS]) add(path.slice(1), path);
	for (const program of [process.execPath, QEMU])
		for (const [library] of execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/\/\S+/g))
			add(library.slice(1), realpathSync(library));
	const folders = new Set();
	for (const place of files.keys()) for (let at = dirname(place); at !== "."; at = dirname(at)) folders.add(at);
	const list = [...files].map(([path, bytes]) => ({ path, bytes, mode: 0o755 }));
	return archive(list, [...folders].sort());
}

function run(args) {
	return new Promise((resolve) => {
		const child = spawn(QEMU, args, { stdio: ["ignore", "pipe", "inherit"] });
		let text = "";
		const timer = setTimeout(() => {
			console.log(`no end within ${LIMIT_MS} ms`);
			child.kill("SIGKILL");
		}, LIMIT_MS);
		child.stdout.on("data", (chunk) => {
			text += chunk;
			process.stdout.write(chunk);
		});
		child.on("close", () => {
			clearTimeout(timer);
			resolve(text);
		});
	});
}

function end(words, passed, failed) {
	if (words !== "") console.log(words);
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(failed > 0 ? 1 : 0);
}
