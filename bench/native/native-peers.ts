// The C peers: bench/native/peers.c, compiled on the spot and run as a process that works on the same bytes and is asked for a
// few samples each round, so that its rounds alternate with ours. Without gcc or a header the peers concerned are skipped,
// and that is said.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import type { Peer, RemoteContender } from "../contest.ts";

const HEADERS = { HAVE_LZ4: ["/usr/include/lz4.h", "-llz4"], HAVE_XXHASH: ["/usr/include/xxhash.h"] } as const;

/** The C program on this machine. */
export class NativePeers {
	readonly #folder: string;
	readonly #process: ChildProcessWithoutNullStreams;
	readonly #lines: AsyncIterableIterator<string>;
	readonly #reader: Interface;

	private constructor(folder: string) {
		this.#folder = folder;
		this.#process = spawn(join(folder, "peers"), { stdio: "pipe" });
		this.#reader = createInterface({ input: this.#process.stdout });
		this.#lines = this.#reader[Symbol.asyncIterator]();
	}

	/** Compiles and starts the program. @returns undefined, after saying why, where that is not possible */
	static start(): NativePeers | undefined {
		const folder = mkdtempSync(join(tmpdir(), "pageferry-peers-"));
		const flags: string[] = [];
		const libraries: string[] = [];
		for (const [define, [header, library]] of Object.entries(HEADERS)) {
			if (existsSync(header)) flags.push(`-D${define}`);
			else console.log(`skipped: C peers that need ${header}`);
			if (existsSync(header) && library !== undefined) libraries.push(library);
		}
		const source = join(process.cwd(), "bench/native/peers.c");
		const built = spawnSync("gcc", [
			"-O3",
			"-march=native",
			...flags,
			source,
			"-o",
			join(folder, "peers"),
			...libraries,
		]);
		if (built.status === 0) return new NativePeers(folder);
		console.log(`skipped: C peers (${built.error?.message ?? String(built.stderr).slice(0, 500)})`);
		rmSync(folder, { recursive: true });
		return undefined;
	}

	async #ask(command: string): Promise<string> {
		this.#process.stdin.write(`${command}\n`);
		const { value, done } = await this.#lines.next();
		if (done === true) throw new Error(`the C peers ended at: ${command}`);
		return value;
	}

	/** Gives the program the bytes to work on. */
	async load(slot: "a" | "b", bytes: Uint8Array): Promise<void> {
		const file = join(this.#folder, slot);
		writeFileSync(file, bytes);
		await this.#ask(`load ${slot} ${file}`);
		rmSync(file);
	}

	/** @returns a kernel as a contender; undefined when this build has none of that name */
	async contender(kernel: string, name: string): Promise<RemoteContender | undefined> {
		const measure = async (samples: number): Promise<{ ms: number; result: number }> => {
			const [ns, result] = (await this.#ask(`run ${kernel} ${samples}`)).split(" ");
			return { ms: Number(ns) / 1e6, result: Number(result) };
		};
		return (await this.#ask(`run ${kernel} 1`)).startsWith("unknown") ? undefined : { name, measure };
	}

	stop(): void {
		this.#reader.close();
		this.#process.stdin.end();
		rmSync(this.#folder, { recursive: true, force: true });
	}
}

/** A kernel of the C peers as a list of none or one, to be spread among the peers of a contest. */
export async function nativePeer(
	native: NativePeers | undefined,
	kernel: string,
	name: string,
	more: Omit<Peer, "contender"> = {},
): Promise<Peer[]> {
	const contender = await native?.contender(kernel, name);
	return contender === undefined ? [] : [{ contender, ...more }];
}
