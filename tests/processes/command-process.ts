// The pageferry command as a user starts it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** How it ended. */
export interface CommandEnd {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly output: string;
	readonly errors: string;
}

export class CommandProcess {
	readonly #child: ChildProcess;
	readonly ended: Promise<CommandEnd>;
	#output = "";
	#errors = "";
	#arrived: () => void = () => undefined;

	constructor(...args: readonly string[]) {
		const child = spawn(process.execPath, ["dist/pageferry.js", ...args], { stdio: ["ignore", "pipe", "pipe"] });
		this.#child = child;
		child.stdout.on("data", (chunk: Buffer) => {
			this.#output += chunk;
		});
		child.stderr.on("data", (chunk: Buffer) => {
			this.#errors += chunk;
			this.#arrived();
		});
		this.ended = once(child, "close").then(([code, signal]) => {
			this.#arrived();
			return { code, signal, output: this.#output, errors: this.#errors };
		});
	}

	get pid(): number {
		return this.#child.pid ?? 0;
	}

	/** Waits for a match in what it says on standard error. @throws with all of it, when it ends without one */
	async says(pattern: RegExp): Promise<RegExpExecArray> {
		for (;;) {
			const match = pattern.exec(this.#errors);
			if (match !== null) return match;
			if (this.#child.exitCode !== null || this.#child.signalCode !== null)
				throw new Error(`ended without ${pattern}:\n${this.#errors}\n${this.#output}`);
			await new Promise<void>((resolve) => {
				this.#arrived = resolve;
			});
		}
	}

	/** The process id of one of its hosts. */
	async hostPid(role: "source" | "target"): Promise<number> {
		return Number((await this.says(new RegExp(`${role} .*process (\\d+)`)))[1]);
	}

	kill(signal: NodeJS.Signals): void {
		this.#child.kill(signal);
	}
}

/** Whether a process exists and is no zombie. */
function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}

/** Waits until none of these processes is left. @throws after 10 s */
export async function gone(pids: readonly number[]): Promise<void> {
	const startedMs = performance.now();
	while (pids.some(isAlive)) {
		if (performance.now() - startedMs > 10_000) throw new Error(`still alive: ${pids.filter(isAlive).join(", ")}`);
		await new Promise((resolve) => setTimeout(resolve, 10)); // nothing tells of the end of processes that are not our children
	}
}
