// `npm run guests` where something is missing: it says what to install, makes what it can, and names what it could not make.
// Debian's own commands are played by scripts, so that nothing is fetched, installed or depends on this machine.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const test = suite("npm run guests");
const base = mkdtempSync(join(tmpdir(), "guests-tool-test-"));
chmodSync(base, 0o777); // another user works in it
let scenes = 0;
test.after(() => rmSync(base, { recursive: true }));

/** Who runs the tool: nobody, if that user may read Node and this folder; root may say so. */
const NOBODY = { uid: 65_534, gid: 65_534 };
const isRoot = process.getuid?.() === 0;
const asNobody = isRoot && spawnSync(process.execPath, ["--check", "tools/guests.mjs"], NOBODY).status === 0;

/** Runs the tool with these commands in the place of the system's. */
function guests(commands: Readonly<Record<string, string>>, ...args: readonly string[]) {
	const bin = mkdtempSync(join(base, "bin-"));
	chmodSync(bin, 0o755);
	for (const [name, body] of Object.entries(commands))
		writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
	const folder = join(base, `guests-${++scenes}`);
	const env = { ...process.env, PATH: `${bin}:/usr/bin:/bin` };
	const options = { env, encoding: "utf8", ...(asNobody ? NOBODY : {}) } as const;
	const done = spawnSync(process.execPath, ["tools/guests.mjs", "--folder", folder, ...args], options);
	if (done.error !== undefined) throw done.error;
	const left = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith("making-")) : [];
	assert.equal(left, [], "nothing half made is left");
	return { ...done, folder };
}

const WORKS = "exit 0";
/** Everything is installed, every index is empty. */
const EMPTY = {
	"dpkg-query": "echo 'install ok installed'",
	"apt-get": WORKS,
	"apt-cache": WORKS,
	"dpkg-deb": WORKS,
	gcc: WORKS,
};

test("without root it prints the command that installs exactly what is missing, and says what it could not make", () => {
	if (isRoot && !asNobody) {
		console.log("skipped: what the tool says without root: only root may read this folder");
		return;
	}
	const done = guests({ ...EMPTY, "dpkg-query": 'case "$4" in gcc) echo "install ok installed";; esac' });
	assert.is(done.status, 1, done.stderr);
	assert.match(
		done.stderr,
		"as root, run\n  apt-get update && apt-get install --no-install-recommends qemu-system-x86 xz-utils\n",
	);
	const bare = guests({ ...EMPTY, "dpkg-query": "exit 1" });
	assert.match(bare.stderr, "apt-get install --no-install-recommends gcc qemu-system-x86 xz-utils\n");
	const other = guests({ ...EMPTY, "apt-get": "exit 127" }, "--only", "nothing");
	assert.match(other.stderr, "--only nothing: there are v86, v86-pae, qemu");
});

test("assets that cannot be made are named one by one, with the package, and are no reason to stop", () => {
	const done = guests(EMPTY);
	assert.is(done.status, 1);
	for (const name of ["v86", "v86-pae", "qemu"])
		assert.match(done.stderr, new RegExp(`^guests: ${name}: busybox-static \\(i386\\) cannot be fetched`, "m"));
	assert.match(done.stderr, /^guests: v86, booted: there is no kernel to boot, see above$/m);
	assert.match(done.stderr, /^guests: missing: v86; v86-pae; qemu; v86, booted.*Tests that need it are skipped/m);
});

test("one kernel that does not exist leaves the other assets as they are made", () => {
	// Packages come, and have everything; only the kernels of i386 do not exist.
	const download = 'touch "$PWD/package.deb"';
	const done = guests({
		...EMPTY,
		"apt-get": `case "$*" in *download*) ${download};; esac`,
		"apt-cache": 'case "$*" in *linux-image-cloud-amd64) echo "  Depends: linux-image-1-cloud-amd64";; esac',
		"dpkg-deb": [
			'[ "$1" = -x ] || { echo 1.0; exit; }',
			'mkdir -p "$3/bin" "$3/boot" "$3/usr/share/seabios" "$3/usr/lib/modules/1/kernel/net/core"',
			"for file in bin/busybox boot/vmlinuz-1 usr/share/seabios/bios.bin usr/share/seabios/vgabios-stdvga.bin; do",
			'echo content > "$3/$file"; done; echo module > "$3/usr/lib/modules/1/kernel/net/core/failover.ko"',
		].join("\n"),
		gcc: 'while [ "$1" != -o ]; do shift; done; echo program > "$2"',
	});
	assert.is(done.status, 1, done.stdout);
	assert.match(done.stderr, /^guests: v86: linux-image-686 \(i386\) cannot be fetched/m);
	assert.match(done.stderr, /^guests: v86-pae: linux-image-686-pae \(i386\) cannot be fetched/m);
	assert.match(done.stdout, /^qemu: ready/m);
	assert.equal(readdirSync(join(done.folder, "assets")), ["qemu"]);
	assert.equal(readdirSync(join(done.folder, "assets/qemu")).sort(), ["initramfs.gz", "manifest.json", "vmlinuz"]);
});

test("a kernel that does not boot ends in advice, and the assets themselves are there", () => {
	// Every file of every package says "content", BIOS and kernel among them.
	const done = guests(
		{
			...EMPTY,
			"apt-get": `case "$*" in *download*) touch "$PWD/package.deb";; esac`,
			"apt-cache": 'case "$*" in *linux-image-686) echo "  Depends: linux-image-1-686";; esac',
			"dpkg-deb": [
				'[ "$1" = -x ] || { echo 1.0; exit; }',
				'mkdir -p "$3/bin" "$3/boot" "$3/usr/share/seabios" "$3/usr/lib/modules/1/kernel"',
				"for file in bin/busybox boot/vmlinuz-1 usr/share/seabios/bios.bin usr/share/seabios/vgabios-stdvga.bin; do",
				'echo content > "$3/$file"; done',
			].join("\n"),
			gcc: 'while [ "$1" != -o ]; do shift; done; echo program > "$2"',
		},
		"--only",
		"v86",
	);
	assert.is(done.status, 1, done.stdout);
	assert.match(done.stdout, /^v86: ready/m);
	assert.match(done.stderr, /^guests: v86, booted: firmware\.bios: it has 8 bytes/m);
	assert.match(done.stderr, /npm run guests -- --refresh/);
	assert.match(done.stderr, /^guests: missing: v86, booted\. Tests that need it are skipped/m);
	assert.not.match(done.stderr, /\n {4}at /, "no stack");
});

test.run();
