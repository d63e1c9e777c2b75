// Packages from Debian's archive: resolved and fetched through apt with an index and a cache of our own, so that a package of
// another architecture needs no change of the system and no root. Only what must be *installed* does.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

const STATUS = "$" + "{Status}"; // dpkg-query's own placeholder

/** Ends the command with a word and a non-zero code: what is missing is for the user to put right. */
function giveUp(message) {
	console.error(`guests: ${message}`);
	process.exit(1);
}

function run(command, args, options = {}) {
	return spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
}

/** Ends the command when one of these programs is not there. */
export function need(programs, reason) {
	for (const program of programs)
		if (run(program, ["--version"]).error !== undefined) giveUp(`${reason} (\`${program}\` is missing)`);
}

/** Makes sure that these packages are installed: installs them as root, or says what to do. */
export function installed(packages) {
	const has = (name) => /install ok installed/.test(run("dpkg-query", ["-W", "-f", STATUS, name]).stdout);
	const missing = packages.filter((name) => !has(name));
	if (missing.length === 0) return;
	const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
	if (process.getuid() !== 0) giveUp(`these packages are missing; as root, run\n  apt-get update && ${command}`);
	console.log(`installing ${missing.join(", ")}`);
	const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
	run("apt-get", ["update", "-qq"], { stdio: "inherit", env: environment });
	const done = run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
		stdio: ["ignore", "ignore", "inherit"],
		env: environment,
	});
	if (done.status !== 0) giveUp(`this failed: ${command}`);
}

/** One architecture of the archive that the system's own sources name. */
export class DebianArchive {
	#folder;
	#options;

	/** Reads the index. @param folder - for the index and what is fetched @param architecture - `i386`, `amd64` */
	constructor(folder, architecture) {
		this.architecture = architecture;
		this.#folder = folder;
		for (const name of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, name), { recursive: true });
		this.#options = [
			...["-o", `APT::Architecture=${architecture}`, "-o", `APT::Architectures=${architecture}`],
			...["-o", `Dir::State::lists=${folder}/lists`, "-o", `Dir::Cache=${folder}/cache`],
			// apt drops its rights while it fetches, and that user cannot write here.
			...["-o", "Dir::State::status=/dev/null", "-o", "APT::Sandbox::User=root"],
			...["-o", "Acquire::Retries=3", "-o", "Acquire::Languages=none"],
		];
		// One index that fails (a mirror that is behind) is no reason to stop: what cannot be resolved is told below.
		const update = run("apt-get", [...this.#options, "update", "-qq"]);
		this.#updateSaid = update.stderr.trim();
	}

	#updateSaid;

	/** @returns the package that a meta package of kernels depends on */
	newestKernel(meta) {
		const { stdout } = run("apt-cache", [...this.#options, "depends", meta]);
		const name = /^\s*Depends: (linux-image-\S+)$/m.exec(stdout)?.[1];
		return name ?? this.#unknown(meta);
	}

	/** Fetches and unpacks one package. @returns where, and its version */
	unpack(name) {
		const folder = join(this.#folder, "packages", name);
		mkdirSync(folder, { recursive: true });
		if (run("apt-get", [...this.#options, "download", "-qq", name], { cwd: folder }).status !== 0) this.#unknown(name);
		const file = join(folder, readdirSync(folder).find((entry) => entry.endsWith(".deb")) ?? this.#unknown(name));
		const unpacked = join(folder, "unpacked");
		if (run("dpkg-deb", ["-x", file, unpacked]).status !== 0) giveUp(`${file} cannot be unpacked`);
		return { folder: unpacked, version: run("dpkg-deb", ["-f", file, "Version"]).stdout.trim() };
	}

	#unknown(name) {
		giveUp(
			`${name} (${this.architecture}) cannot be fetched with this system's package sources (Debian 12 has it)` +
				(this.#updateSaid === "" ? "" : `; apt-get update said:\n${this.#updateSaid}`),
		);
	}
}
