// A guest that goes back and forth between two real processes, a move per figure, while a client keeps asking.
import { pathToFileURL } from "node:url";
import { hostCommand } from "../../bindings/cli/executables.ts";
import { HostProcess } from "../../bindings/cli/host-process.ts";
import type { MoveOrder } from "../../bindings/cli/messages.ts";
import { NumberedClient } from "../../bindings/cli/numbered-client.ts";
import type { RuntimeName } from "../../bindings/cli/options.ts";
import type { MoveMetrics } from "../../bindings/migration/metrics.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";

const ROOT = pathToFileURL(`${process.cwd()}/`); // benches run in the repository's root
const DIST = new URL("dist/", ROOT);
const PROGRAM_URL = new URL("bench/techniques/pages-program.mjs", ROOT).href;

/** What the client asks for. */
export interface FerryLoad {
	readonly requestsPerSecond: number;
	/** Pages that each request changes, a word in each. */
	readonly changePages: number;
	/** They are some of so many: of all if left out. */
	readonly hotPages?: number;
}

/** How to move. */
export type CrossingOptions = Pick<
	MoveOrder,
	"technique" | "verification" | "push" | "checkpoints" | "bandwidthBytesPerMs" | "deltaCachePages" | "downtimeLimitMs"
>;

/** One move, as measured. */
export interface Crossing {
	readonly metrics: MoveMetrics;
	/** Longest time between two answers around the move, in ms; 0 without a client. */
	readonly longestGapMs: number;
	/** Answers while the move was under way, per second; 0 without a client. */
	readonly answersPerSecond: number;
}

/** Where the processes run, and what the guest is. */
export interface FerryCrew {
	readonly runtime?: RuntimeName;
	/** Another Node than this one. */
	readonly nodeExecutable?: string;
	readonly programUrl?: string;
	/** What the guest's memory holds: noise if left out; else half zero pages and a third that compress. */
	readonly content?: "noise" | "mixed";
}

/** What the client may add to the time of a move, in ms. */
const AROUND_MS = 50;

interface Side {
	readonly host: HostProcess;
	readonly door: StreamAddress;
}

export class Ferry {
	readonly #platform = nodePlatform();
	readonly #client: NumberedClient | undefined;
	readonly #hosts: HostProcess[] = [];
	readonly #crew: FerryCrew;
	#here!: Side;
	#there!: Side;

	private constructor(load: FerryLoad | undefined, crew: FerryCrew) {
		this.#crew = crew;
		if (load === undefined) return;
		const { requestsPerSecond, ...pages } = load;
		const platform = this.#platform;
		this.#client = new NumberedClient({ platform, request: () => pages, requestsPerSecond });
	}

	/** Two processes, and a guest of this size in one of them. */
	static async open(sizeMiB: number, load?: FerryLoad, crew: FerryCrew = {}): Promise<Ferry> {
		const ferry = new Ferry(load, crew);
		try {
			ferry.#here = await ferry.#side();
			ferry.#there = await ferry.#side();
			const { host } = ferry.#here;
			await host.order("start", { programUrl: crew.programUrl ?? PROGRAM_URL });
			await host.order("call", { request: { fillMiB: sizeMiB } });
			if (crew.content === "mixed") await host.order("call", { request: { mix: true } });
			await ferry.#client?.start(host.hello.clients);
			return ferry;
		} catch (error) {
			await ferry.close();
			throw error;
		}
	}

	/** Moves the guest to the other process. @throws Error unless it is moved */
	async cross(options: CrossingOptions): Promise<Crossing> {
		const { host } = this.#here;
		const { host: target, door } = this.#there;
		// Without live rounds there is no shadow to allocate.
		if (options.technique !== "post-copy") await host.order("prepare", {});
		await this.#client?.untilAnswered(this.#client.answered + 100);
		const answeredBefore = Math.max(0, (this.#client?.answered ?? 0) - 1);
		const startedMs = this.#platform.clock.now();
		const report = await host.order("move", { ...options, target: door, clients: target.hello.clients });
		if (report.outcome !== "moved") throw new Error(`${report.outcome}: ${report.failure?.message}`);
		const answers = Math.max(0, (this.#client?.answered ?? 0) - answeredBefore - 1);
		const answersPerSecond = (1000 * answers) / (this.#platform.clock.now() - startedMs);
		[this.#here, this.#there] = [this.#there, this.#here];
		await this.#client?.untilAnswered(this.#client.answered + AROUND_MS);
		const times = this.#client?.answeredAtMs.slice(answeredBefore) ?? [];
		const gaps = times.slice(1).map((at, index) => at - times[index]!);
		return { metrics: report.metrics, longestGapMs: Math.max(0, ...gaps), answersPerSecond };
	}

	async close(): Promise<void> {
		this.#client?.stop();
		await Promise.all(this.#hosts.map((host) => host.stop()));
	}

	async #side(): Promise<Side> {
		const role = this.#hosts.length === 0 ? "left" : "right";
		const { runtime = "node", nodeExecutable, programUrl = PROGRAM_URL } = this.#crew;
		const usual = hostCommand(runtime, DIST);
		const command = nodeExecutable === undefined ? usual : { ...usual, executable: nodeExecutable };
		const host = await HostProcess.start({ platform: this.#platform, role, command });
		this.#hosts.push(host);
		const at: StreamAddress = { transport: "tcp", host: "127.0.0.1", port: 0 };
		return { host, door: (await host.order("receive", { at, programUrls: [programUrl] })).address };
	}
}

/** The middle value. */
export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
