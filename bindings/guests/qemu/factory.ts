/**
 * Builds targets under QEMU. A target is a QEMU that was started to wait for its state, with an empty RAM file: starting
 * it is set-up, before the source pauses. Hot standbys are targets that were started before anybody asked: with one ready,
 * set-up takes no time.
 */
import {
	GuestError,
	type GuestFactory,
	type GuestLayout,
	type Obstacle,
	PAGE_BYTES,
	type PreparedTarget,
	type SetUpOptions,
} from "../../ports/guest.ts";
import { checkAccelerator } from "./accelerator.ts";
import type { QemuNetwork } from "./card.ts";
import { QemuError } from "./errors.ts";
import type { QemuGuest } from "./guest.ts";
import { type Accelerator, checkMachine, machineFacts, pagesOf } from "./machine.ts";
import { DEFAULT_EXECUTABLE, type QemuServices, qemuVersion } from "./qemu-host.ts";
import { openGuest, type StartQemuGuestOptions } from "./start.ts";

/** What a factory is made with: the machine that it builds, as at the source. */
export interface QemuGuestFactoryOptions extends Omit<StartQemuGuestOptions, "booted" | "bootMs"> {
	/**
	 * In place of `network` where several of its machines run at once, as clones do: called once for each, when it is about to
	 * run. With `network` alone the second of them is refused (`network-taken`).
	 */
	readonly networks?: () => QemuNetwork;
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts ignore
 * const factory = await QemuGuestFactory.open(nodePlatform(), { machine, network: port.attach });
 * await factory.prepareStandbys(1);
 * const received = await receiveGuest({ link, factories: [factory], clock });
 * ```
 */
export class QemuGuestFactory implements GuestFactory {
	readonly kind = "qemu";
	readonly #services: QemuServices;
	readonly #options: QemuGuestFactoryOptions & { readonly accelerator: Accelerator };
	readonly #facts: Readonly<Record<string, string>>;
	readonly #standbys: QemuGuest[] = [];
	/** The last call of {@link prepareStandbys}: one after the other, so that no more are started than were asked for. */
	#preparing: Promise<void> = Promise.resolve();
	#closings = 0;

	private constructor(
		services: QemuServices,
		options: QemuGuestFactoryOptions & { readonly accelerator: Accelerator },
		facts: Readonly<Record<string, string>>,
	) {
		this.#services = services;
		this.#options = options;
		this.#facts = facts;
	}

	/** @throws {QemuError} `not-installed`, `exited`, `no-file`, `no-accelerator`; RangeError for a machine that makes no sense. */
	static async open(services: QemuServices, options: QemuGuestFactoryOptions): Promise<QemuGuestFactory> {
		const { machine, accelerator = "tcg", executable = DEFAULT_EXECUTABLE } = options;
		checkMachine(machine);
		if ((machine.mac === undefined) !== (options.network === undefined && options.networks === undefined))
			throw new TypeError(
				"network: a machine with a network card (mac) needs somebody who takes its frames, one without none",
			);
		const version = await qemuVersion(services, executable);
		await checkAccelerator(services, accelerator, options);
		const facts = await machineFacts(machine, { files: services.files, version, accelerator });
		return new QemuGuestFactory(services, { ...options, accelerator }, facts);
	}

	/** Targets that are ready. */
	get standbys(): number {
		this.#dropDead();
		return this.#standbys.length;
	}

	check(layout: GuestLayout, options: SetUpOptions = {}): readonly Obstacle[] {
		const obstacles: Obstacle[] = [];
		const add = (fact: string, message: string) => obstacles.push({ fact, message });
		if (layout.pageBytes !== PAGE_BYTES)
			add("pageBytes", `pages of ${layout.pageBytes} bytes, this target has ${PAGE_BYTES}`);
		const pageCount = pagesOf(this.#options.machine);
		if (layout.pageCount !== pageCount)
			add("memoryMiB", `${layout.pageCount} pages of memory at the source, this target's machine has ${pageCount}`);
		if (options.faulting)
			add("faulting", "a QEMU guest cannot wait for pages: use pre-copy or stop-and-copy, and restore eagerly");
		for (const name of new Set([...Object.keys(layout.facts), ...Object.keys(this.#facts)]))
			if (layout.facts[name] !== this.#facts[name])
				add(
					name,
					`'${name}' is '${layout.facts[name] ?? "missing"}' at the source and '${this.#facts[name] ?? "missing"}' here: describe the same machine on both sides`,
				);
		return obstacles;
	}

	missing(): readonly string[] {
		return [];
	}

	/** @throws {GuestError} `incompatible`, `state` with the {@link QemuError} as cause */
	async setUp(
		layout: GuestLayout,
		_resources: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
		signal?: AbortSignal,
		options?: SetUpOptions,
	): Promise<PreparedTarget & { readonly guest: QemuGuest }> {
		const startedMs = this.#services.clock.now();
		const [obstacle] = this.check(layout, options);
		if (obstacle !== undefined) throw new GuestError("incompatible", obstacle.message);
		signal?.throwIfAborted();
		this.#dropDead();
		const guest = this.#standbys.shift() ?? (await this.#start());
		if (signal?.aborted) {
			await guest.discard();
			throw signal.reason;
		}
		return { guest, setupMs: this.#services.clock.now() - startedMs };
	}

	/**
	 * Starts targets until that many are ready.
	 * @throws {GuestError} `state` with the {@link QemuError} as cause: those that are ready stay; `gone` if {@link close} came
	 *   meanwhile.
	 */
	prepareStandbys(count: number): Promise<void> {
		const closings = this.#closings;
		const preparing = this.#preparing.then(() => this.#prepare(count, closings));
		this.#preparing = preparing.catch(() => undefined); // its caller's, not the next one's
		return preparing;
	}

	async #prepare(count: number, closings: number): Promise<void> {
		for (;;) {
			if (this.#closings !== closings) throw new GuestError("gone", "the factory was closed meanwhile");
			this.#dropDead();
			if (this.#standbys.length >= count) return;
			const guest = await this.#start();
			if (this.#closings === closings) this.#standbys.push(guest);
			else await guest.discard();
		}
	}

	/** Ends the targets that nobody has asked for, those under way included: nothing is left when it resolves. */
	async close(): Promise<void> {
		this.#closings++;
		await Promise.all([this.#preparing, ...this.#standbys.splice(0).map((guest) => guest.discard())]);
	}

	async #start(): Promise<QemuGuest> {
		try {
			return await openGuest(this.#services, { ...this.#options, incoming: true }, this.#facts);
		} catch (error) {
			if (error instanceof QemuError) throw new GuestError("state", `no target: ${error.message}`, error);
			throw error;
		}
	}

	#dropDead(): void {
		const alive = this.#standbys.filter(({ crashed }) => crashed === undefined);
		this.#standbys.splice(0, this.#standbys.length, ...alive);
	}
}
