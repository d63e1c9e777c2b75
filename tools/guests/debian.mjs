// Packages from Debian's archive: resolved and fetched through apt with an index and a cache of our own, so that a package of
// another architecture needs no change of the system and no root. Only what must be *installed* does.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const STATUS = "$" + "{Status}"; // dpkg-query's own placeholder

/** What is missing is for the user to put right: the message says how. */
export class Missing extends Error {
	name = "Missing";
}

function run(command, args, options = {}) {
	return spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
}

/** @throws {Missing} when one of these programs is not there */
export function need(programs, reason) {
	for (const program of programs)
		if (run(program, ["--version"]).error !== undefined) throw new Missing(`${reason} (\`${program}\` is missing)`);
}

/** Makes sure that these packages are installed: installs them as root. @throws {Missing} that says what to do */
export function installed(packages) {
	const has = (name) => /install ok installed/.test(run("dpkg-query", ["-W", "-f", STATUS, name]).stdout ?? "");
	const missing = packages.filter((name) => !has(name));
	if (missing.length === 0) return;
	const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
	if (process.getuid() !== 0)
		throw new Missing(`these packages are missing; as root, run\n  apt-get update && ${command}`);
	console.log(`installing ${missing.join(", ")}`);
	const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
	run("apt-get", ["update", "-qq"], { stdio: "inherit", env: environment });
	const done = run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
		stdio: ["ignore", "ignore", "inherit"],
		env: environment,
	});
	if (done.status !== 0) throw new Missing(`this failed: ${command}`);
}

/** The last release that has kernels for i386: Debian 13 has programs for it, and none. */
const LAST_WITH_I386_KERNELS = "bookworm";

/** A path in an unpacked package: Debian 13's have below usr/ what earlier ones had at the root as well. */
export function within(folder, path) {
	const merged = join(folder, "usr", path);
	return existsSync(merged) ? merged : join(folder, path);
}

/** A file that may be there as it is, or packed, as Debian 13's kernel modules are. @returns its bytes, if it is there */
export function readPacked(path) {
	if (existsSync(path)) return readFileSync(path);
	if (!existsSync(`${path}.xz`)) return undefined;
	const done = run("xz", ["-dc", `${path}.xz`], { encoding: "buffer" });
	if (done.status !== 0) throw new Missing(`${path}.xz cannot be unpacked (Debian: apt install xz-utils)`);
	return done.stdout;
}

/** One architecture of the archive that the system's own sources name. */
export class DebianArchive {
	#folder;
	#options;
	/** That of {@link LAST_WITH_I386_KERNELS}, once it was asked for. */
	#older;

	/**
	 * Reads the index.
	 * @param folder - for the index and what is fetched @param architecture - `i386`, `amd64` @param sources - in the place of the
	 *   system's own, as lines of sources.list
	 */
	constructor(folder, architecture, sources) {
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
		if (sources !== undefined) {
			writeFileSync(join(folder, "sources.list"), sources);
			this.#options.push("-o", `Dir::Etc::sourcelist=${folder}/sources.list`, "-o", "Dir::Etc::sourceparts=/dev/null");
		}
		// One index that fails (a mirror that is behind) is no reason to stop: what cannot be resolved is told below.
		const update = run("apt-get", [...this.#options, "update", "-qq"]);
		this.#updateSaid = (update.stderr ?? "").trim();
	}

	#updateSaid;

	/** Fetches and unpacks the newest kernel that a meta package depends on. @returns as {@link unpack}, and its name */
	unpackKernel(meta) {
		const { stdout } = run("apt-cache", [...this.#options, "depends", meta]);
		const name = /^\s*Depends: (linux-image-\S+)$/m.exec(stdout ?? "")?.[1];
		if (name !== undefined) return { name, ...this.unpack(name) };
		if (this.#older === undefined && this.architecture === "i386") this.#older = this.#open(LAST_WITH_I386_KERNELS);
		return this.#older === undefined ? this.#unknown(meta) : this.#older.unpackKernel(meta);
	}

	/** The archive of another release, at the servers that the system's own sources name; none if it is theirs already. */
	#open(release) {
		const format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
		const { stdout } = run("apt-get", [...this.#options, "indextargets", "--format", format, "Label: Debian"]);
		const mirrors = new Set();
		for (const line of (stdout ?? "").split("\n")) {
			const [server, from, component] = line.split(" ");
			if (from === release) return undefined;
			if (component === "main") mirrors.add(server);
		}
		if (mirrors.size === 0) return undefined;
		const keys = ["gpg", "pgp"].map((end) => `/usr/share/keyrings/debian-archive-keyring.${end}`).find(existsSync);
		const signed = keys === undefined ? "" : `[signed-by=${keys}] `;
		const sources = [...mirrors].map((server) => `deb ${signed}${server} ${release} main\n`);
		return new DebianArchive(join(this.#folder, release), this.architecture, sources.join(""));
	}

	/** Fetches and unpacks one package. @returns where, and its version */
	unpack(name) {
		const folder = join(this.#folder, "packages", name);
		mkdirSync(folder, { recursive: true });
		if (run("apt-get", [...this.#options, "download", "-qq", name], { cwd: folder }).status !== 0) this.#unknown(name);
		const file = join(folder, readdirSync(folder).find((entry) => entry.endsWith(".deb")) ?? this.#unknown(name));
		const unpacked = join(folder, "unpacked");
		if (run("dpkg-deb", ["-x", file, unpacked]).status !== 0) throw new Missing(`${file} cannot be unpacked`);
		return { folder: unpacked, version: run("dpkg-deb", ["-f", file, "Version"]).stdout.trim() };
	}

	#unknown(name) {
		throw new Missing(
			`${name} (${this.architecture}) cannot be fetched with this system's package sources (Debian 12 has it)` +
				(this.#updateSaid === "" ? "" : `; apt-get update said:\n${this.#updateSaid}`),
		);
	}
}
