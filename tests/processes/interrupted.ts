// A command that is ended at a drawn moment, and everything that it may have left: processes of its own and their children,
// files and sockets in its temporary folder, memory of QEMUs.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How often a command is ended by each signal; more on wish, which takes long. */
export const TIMES: number = Number(process.env.PAGEFERRY_INTERRUPTIONS ?? 1);
/** Where moments are drawn from; printed. */
export const SEED: number = Number(process.env.PAGEFERRY_SEED ?? Date.now() % 1_000_000);

/** Every process of a command carries it in its environment, its QEMUs included. */
const MARK = "PAGEFERRY_TEST_COMMAND";
/** Where QEMUs have their memory. */
const QEMU_FOLDER = `/dev/shm/pageferry-${process.getuid?.()}`;
/** How long processes may take to notice that their command was killed, and to end in order, in ms. */
const END_MS = 30_000;

let commands = 0;

/** How a command was ended. */
export interface Interrupted {
	readonly code: number | null;
	readonly errors: string;
	/** What is left of it, once it had time to end: nothing, if all is well. */
	readonly left: readonly string[];
}

/** A command with a temporary folder of its own. */
export class MarkedCommand {
	readonly #mark = `${process.pid}-${++commands}`;
	/** Where it makes its sockets and temporary files. */
	readonly folder: string;
	readonly #child: ChildProcess;
	readonly #closed: Promise<unknown>;
	#errors = "";

	constructor(args: readonly string[], folder: string = mkdtempSync(join(tmpdir(), "interrupted-test-"))) {
		this.folder = folder;
		const env = { ...process.env, [MARK]: this.#mark, TMPDIR: folder };
		this.#child = spawn(process.execPath, ["dist/pageferry.js", ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
		this.#child.stderr?.on("data", (chunk: Buffer) => {
			this.#errors += chunk;
		});
		this.#child.stdout?.resume();
		this.#closed = once(this.#child, "close");
	}

	/** Ends it by a signal after so many ms, if it is not over before. */
	async endAfter(delayMs: number, signal: NodeJS.Signals): Promise<Interrupted> {
		await Promise.race([this.#closed, sleep(delayMs)]);
		this.#child.kill(signal);
		return this.end();
	}

	/** Nobody reads what it says any more, from some moment on. */
	async unreadAfter(delayMs: number): Promise<Interrupted> {
		await Promise.race([this.#closed, sleep(delayMs)]);
		this.#child.stdout?.destroy();
		this.#child.stderr?.destroy();
		return this.end();
	}

	/** Kills it and all of its processes at once. */
	async killAllAfter(delayMs: number): Promise<void> {
		await sleep(delayMs);
		for (let pids = this.processes(); pids.length > 0; pids = this.processes())
			for (const pid of pids) killQuietly(pid);
		await this.#closed;
	}

	/** Waits until it has ended, and looks at what is left. */
	async end(): Promise<Interrupted> {
		await this.#closed;
		const startedMs = performance.now();
		while (this.processes().length > 0 && performance.now() - startedMs < END_MS) await sleep(20);
		const left = this.left();
		for (const pid of this.processes()) killQuietly(pid);
		rmSync(this.folder, { recursive: true, force: true });
		return { code: this.#child.exitCode, errors: this.#errors, left };
	}

	/** What is left of it now: processes, files, memory of QEMUs. */
	left(): readonly string[] {
		return [
			...this.processes().map((pid) => `process ${pid}: ${commandLine(pid)}`),
			...readdirSync(this.folder, { recursive: true }).map((name) => `${this.folder}/${name}`),
			...this.memory(),
		];
	}

	/** Every process that it started, directly or not, and itself, that has not ended. */
	processes(): readonly number[] {
		return readdirSync("/proc")
			.filter((name) => /^\d+$/.test(name))
			.filter((pid) => read(`/proc/${pid}/environ`).includes(`${MARK}=${this.#mark}\0`))
			.map(Number);
	}

	/** Folders of QEMUs that its processes own: their names hold the owner's number, which the command has said before. */
	memory(): readonly string[] {
		const owners = Array.from(this.#errors.matchAll(/process (\d+)/g), ([, pid]) => pid);
		if (!existsSync(QEMU_FOLDER)) return [];
		const names = readdirSync(QEMU_FOLDER).filter((name) => owners.includes(name.split("-")[1]));
		return names.map((name) => `${QEMU_FOLDER}/${name}`);
	}
}

function read(path: string): string {
	try {
		return readFileSync(path, "latin1");
	} catch {
		return ""; // it has ended, or is another user's
	}
}

const commandLine = (pid: number): string => read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 200);

function killQuietly(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch {
		// It has ended meanwhile.
	}
}
