// Hosts as real processes, a client that keeps asking, and a proxy between source and target. What a test opens here is
// closed by `dispose`, whatever became of it.
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { hostCommand, programUrl } from "../../bindings/cli/executables.ts";
import { HostProcess } from "../../bindings/cli/host-process.ts";
import type { HostEvent, MoveOrder, MoveReport, ReceiveLimits } from "../../bindings/cli/messages.ts";
import { NumberedClient } from "../../bindings/cli/numbered-client.ts";
import type { RuntimeName } from "../../bindings/cli/options.ts";
import { compareRuns, DIGEST_REQUEST, undisturbedRun } from "../../bindings/cli/verdict.ts";
import { WORKLOADS } from "../../bindings/cli/workloads.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";

/** The built entries; tests run in the repository's root. */
const DIST = new URL("dist/", pathToFileURL(`${process.cwd()}/`));
const workload = WORKLOADS.get("sqlite")!;
const PROGRAM_URL = programUrl(workload, DIST);

/** Enough that a move has a middle: a dozen batches. */
const BALLAST_MIB = 12;
const REQUESTS_PER_SECOND = 500;

/** Deadlines that tests can wait for; honest work takes a few ms of each. */
export const SHORT_DEADLINES = { stallMs: 4000, verifyMs: 4000, confirmMs: 4000, stateMs: 4000 } as const;

export interface StageOptions {
	readonly from?: RuntimeName;
	readonly to?: RuntimeName;
	readonly limits?: ReceiveLimits;
}

export class Stage {
	readonly platform = nodePlatform();
	readonly client = new NumberedClient({
		platform: this.platform,
		request: workload.request,
		requestsPerSecond: REQUESTS_PER_SECOND,
	});
	readonly #hosts: HostProcess[] = [];
	readonly #closers: (() => void)[] = [];

	/** A running source whose guest has answered some requests, and a target that waits. */
	static async open(
		options: StageOptions = {},
	): Promise<{ stage: Stage; source: HostProcess; target: HostProcess; door: StreamAddress }> {
		const stage = new Stage();
		try {
			const [source, target] = await Promise.all([
				stage.host(options.from ?? "node", "source"),
				stage.host(options.to ?? "node", "target"),
			]);
			const [door] = await Promise.all([stage.receive(target, options.limits), stage.startGuest(source)]);
			return { stage, source, target, door };
		} catch (error) {
			await stage.dispose();
			throw error;
		}
	}

	async host(runtime: RuntimeName, role: string): Promise<HostProcess> {
		const host = await HostProcess.start({ platform: this.platform, role, command: hostCommand(runtime, DIST) });
		this.#hosts.push(host);
		return host;
	}

	/** Opens a host's door. @returns where */
	async receive(host: HostProcess, limits: ReceiveLimits = {}): Promise<StreamAddress> {
		const at: StreamAddress = { transport: "tcp", host: "127.0.0.1", port: 0 };
		return (await host.order("receive", { at, programUrls: [PROGRAM_URL], limits })).address;
	}

	async startGuest(host: HostProcess): Promise<void> {
		await host.order("start", { programUrl: PROGRAM_URL });
		await host.order("call", { request: { ballastMiB: BALLAST_MIB } });
		await this.client.start(host.hello.clients);
		await this.client.untilAnswered(50);
	}

	move(
		source: HostProcess,
		target: HostProcess,
		door: StreamAddress,
		options: Partial<MoveOrder> = {},
	): Promise<MoveReport> {
		const clients = target.hello.clients;
		return source.order("move", { technique: "pre-copy", verification: "full", target: door, clients, ...options });
	}

	/** Closes something at the end. */
	later(close: () => void): void {
		this.#closers.push(close);
	}

	/** The client goes on where the guest is now; then every answer and the state are as if nothing had happened. */
	async expectUndisturbed(home: HostProcess): Promise<void> {
		await this.client.finish(100);
		const { response } = await home.order("call", { request: DIGEST_REQUEST });
		const { sent, answers, contradictions } = this.client;
		const never = new AbortController().signal;
		const undisturbed = await undisturbedRun(this.platform, { url: PROGRAM_URL, workload }, sent, never);
		for (const check of compareRuns({ answers, stateDigest: String(response) }, undisturbed, sent))
			assert.ok(check.ok, `${check.name}: ${check.detail}`);
		assert.equal(contradictions, []);
	}

	async dispose(): Promise<void> {
		this.client.stop();
		for (const close of this.#closers.splice(0)) close();
		await Promise.all(this.#hosts.splice(0).map((host) => host.stop()));
	}
}

/** The next event of this kind. */
export function nextEvent<News extends HostEvent["news"]>(
	host: HostProcess,
	news: News,
	matches: (event: Extract<HostEvent, { news: News }>) => boolean = () => true,
): Promise<Extract<HostEvent, { news: News }>> {
	return new Promise((resolve, reject) => {
		const stop = host.on((event) => {
			if (event.news !== news || !matches(event as Extract<HostEvent, { news: News }>)) return;
			stop();
			resolve(event as Extract<HostEvent, { news: News }>);
		});
		host.ended.then(reject);
	});
}

/** @throws AssertionError unless the host has no guest */
export async function expectNoGuest(host: HostProcess): Promise<void> {
	const code = await host.order("call", { request: DIGEST_REQUEST }).then(
		() => "a guest answered",
		(error: { code?: string }) => error.code,
	);
	assert.is(code, "no-guest");
}
