/**
 * A process that has a machine of its own: either side of `pageferry demo --guest v86|qemu`, as the command tells it over
 * the control connection (machine-messages.ts).
 *
 *   source: boot ─▶ programs work ─▶ move            target: stand by ─▶ the guest's link ─▶ programs work on
 *
 * That connection is its leash: when it ends, for whatever reason, so do the machine and the process. Nothing here waits
 * for anything else without a limit, so no process outlives its command.
 */
import { openLink } from "../links/open-link.ts";
import { hybrid } from "../migration/hybrid.ts";
import type { MoveOptions, MoveServices } from "../migration/move.ts";
import { postCopy } from "../migration/post-copy.ts";
import { preCopy } from "../migration/pre-copy.ts";
import type { PostCopyResult } from "../migration/results.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import { receiveGuest } from "../migration/target.ts";
import type { ByteStreamListener } from "../ports/byte-stream.ts";
import type { Guest } from "../ports/guest.ts";
import { LinkError } from "../ports/link.ts";
import { messageWithCauses } from "./failure.ts";
import type { HostConfig } from "./host.ts";
import { LineStream } from "./line-stream.ts";
import { PROGRAMS } from "./linux-console.ts";
import type { MachineMoveOrder, MachineNews, MachineOrder } from "./machine-messages.ts";
import type { MachineSide, OpenMachineSide } from "./machine-side.ts";

/** How long ending the machine may take, in ms: then the process ends without, and the next start clears up. */
const CLOSE_MS = 8_000;

/** Runs until the leash ends; then no machine is left. @throws {LinkError} without a command, or when it cannot listen */
export async function runMachineHost(config: HostConfig, openSide: OpenMachineSide): Promise<void> {
	const { platform, token, runtime } = config;
	const control: Control = new LineStream(await platform.connect(config.control));
	const door = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	const host = new MachineHost(config, { control, door, openSide });
	try {
		await control.send({ news: "hello", token, runtime, door: door.address });
		for await (const order of control.messages()) host.obey(order);
	} catch (error) {
		// A command that is killed does not close in order.
		if (!(error instanceof LinkError)) throw error;
	} finally {
		await Promise.race([host.close(), platform.clock.sleep(CLOSE_MS)]);
	}
}

type Control = LineStream<MachineNews, MachineOrder>;

class MachineHost {
	readonly #config: HostConfig;
	readonly #control: Control;
	readonly #door: ByteStreamListener;
	readonly #stop: AbortController = new AbortController();
	readonly #side: MachineSide;
	readonly #work: Promise<void>[] = [];
	#guest: Guest | undefined;

	constructor(
		config: HostConfig,
		parts: { readonly control: Control; readonly door: ByteStreamListener; readonly openSide: OpenMachineSide },
	) {
		this.#config = config;
		this.#control = parts.control;
		this.#door = parts.door;
		this.#side = parts.openSide(config.platform, this.#stop.signal);
	}

	obey(order: MachineOrder): void {
		const doing = this.#carryOut(order);
		this.#work.push(doing.catch((error: unknown) => this.#say({ news: "failed", message: messageWithCauses(error) })));
	}

	#carryOut(order: MachineOrder): Promise<void> {
		switch (order.order) {
			case "boot":
				return this.#boot();
			case "stand-by":
				return this.#standBy(order.faulting);
			case "move":
				return this.#move(order);
		}
	}

	async close(): Promise<void> {
		this.#stop.abort("the command has gone");
		await this.#door.close();
		await this.#side.close();
		await Promise.all(this.#work);
		// What was started meanwhile.
		await this.#side.close();
	}

	async #boot(): Promise<void> {
		const { guest, what, type } = await this.#side.boot((text) => this.#say({ news: "text", text }));
		this.#guest = guest;
		this.#say({ news: "ready", what });
		await type(PROGRAMS);
	}

	async #move(order: MachineMoveOrder): Promise<void> {
		if (this.#guest === undefined) throw new RangeError("move: there is no guest yet");
		const { clock, random, connect } = this.#config.platform;
		const link = openLink(await connect(order.target, { signal: this.#stop.signal }));
		const result = await this.#run(order, { guest: this.#guest, link, clock, random });
		const failure = result.outcome === "moved" ? undefined : messageWithCauses(result.error);
		this.#say({ news: "move", outcome: result.outcome, metrics: result.metrics, failure });
	}

	#run(order: MachineMoveOrder, services: MoveServices): Promise<PostCopyResult> {
		const { technique, push, verification, bandwidthBytesPerMs } = order;
		const options: MoveOptions = {
			verification,
			signal: this.#stop.signal,
			onProgress: (progress) => this.#say({ news: "progress", progress }),
			...(bandwidthBytesPerMs !== undefined && { bandwidthBytesPerMs }),
		};
		const pushed = { ...options, ...(push !== undefined && { push }) };
		if (technique === "stop-and-copy") return stopAndCopy(services, options);
		if (technique === "post-copy") return postCopy(services, pushed);
		if (technique === "hybrid") return hybrid(services, pushed);
		return preCopy(services, options);
	}

	async #standBy(faulting: boolean): Promise<void> {
		const { clock } = this.#config.platform;
		const { factory, what } = await this.#side.standBy((text) => this.#say({ news: "text", text }), faulting);
		this.#say({ news: "ready", what });
		const stream = await this.#door.accept();
		if (stream === undefined) return;
		const result = await receiveGuest({ link: openLink(stream), factories: [factory], clock });
		if (result.outcome === "discarded") throw result.error;
		if (!("paging" in result) || result.paging === undefined) return;
		const { outcome } = await result.paging.ended;
		this.#say({ news: "paged", outcome, missingPages: result.paging.missingPages });
	}

	#say(news: MachineNews): void {
		this.#control.send(news).catch((error: unknown) => this.#control.abort(error)); // no command, no host: see runMachineHost
	}
}
