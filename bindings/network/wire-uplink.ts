// A wire's way to real clients, kept up: when the process that it is ends by itself, another one is started.
import type { Clock } from "../ports/clock.ts";
import type { SwitchPort } from "./switch.ts";
import { WireError } from "./wire-error.ts";
import type { WireStatus } from "./wire-orders.ts";

/** How long after its end another is started, in ms: a port that is taken stays so for a while. */
const AGAIN_MS = 500;

/** A network of the host at a switch's port: QEMU's user network, passt. */
export interface Uplink {
	readonly pid: number;
	/** Resolves when it has ended by itself. */
	readonly failed: Promise<Error>;
	/** Ends it. Safe to call twice. */
	close(): Promise<void>;
}

/** Starts one at this port. */
export type OpenUplink = (port: SwitchPort) => Promise<Uplink>;

/** See the head of this file. */
export class UplinkKeeper {
	readonly #open: OpenUplink;
	readonly #port: SwitchPort;
	readonly #clock: Clock;
	readonly #onDown: (error: Error) => void;
	readonly #stop: AbortController = new AbortController();
	#uplink: Uplink | undefined;
	#reason = "it is being started";
	#opening: Promise<Uplink | undefined> | undefined;
	#keeping: Promise<void> | undefined;

	constructor(port: SwitchPort, clock: Clock, options: { open: OpenUplink; onDown: (error: Error) => void }) {
		this.#open = options.open;
		this.#onDown = options.onDown;
		this.#port = port;
		this.#clock = clock;
	}

	/** Starts it for the first time. @throws what starting throws: it says what to install, or which port is taken */
	async start(): Promise<void> {
		const opening = this.#open(this.#port);
		this.#opening = opening.catch(() => undefined); // it is thrown below
		const uplink = await opening;
		if (this.#stop.signal.aborted) throw new WireError("closed", "the wire was ended while it started");
		this.#uplink = uplink;
		this.#keeping = this.#keep(uplink);
	}

	get status(): WireStatus["uplink"] {
		return this.#uplink === undefined
			? { state: "down", reason: this.#reason }
			: { state: "up", pid: this.#uplink.pid };
	}

	/** Ends it for good. */
	async close(): Promise<void> {
		this.#stop.abort("the wire ends");
		const first = await this.#opening;
		await this.#keeping;
		await first?.close();
	}

	async #keep(first: Uplink): Promise<void> {
		const { signal } = this.#stop;
		const stopped = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
		for (let uplink: Uplink | undefined = first; !signal.aborted; uplink = await this.#again()) {
			const error = uplink && (await Promise.race([uplink.failed, stopped]));
			await uplink?.close();
			this.#uplink = undefined;
			if (error !== undefined) this.#down(error);
		}
		await this.#uplink?.close();
	}

	/** @returns another one, or none if it could not be started either */
	async #again(): Promise<Uplink | undefined> {
		try {
			await this.#clock.sleep(AGAIN_MS, this.#stop.signal);
			this.#uplink = await this.#open(this.#port);
		} catch (error) {
			if (!this.#stop.signal.aborted) this.#down(error instanceof Error ? error : new TypeError(String(error)));
		}
		return this.#uplink;
	}

	#down(error: Error): void {
		this.#reason = error.message;
		this.#onDown(error);
	}
}
