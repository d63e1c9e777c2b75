/** Builds targets for v86 guests in worker threads: of every technique, post-copy, hybrid and lazy restore among them. */
import type { GuestFactory, GuestLayout, Obstacle, PreparedTarget, SetUpOptions } from "../../ports/guest.ts";
import { checkVersion } from "./emulator.ts";
import { checkSetUp, hardwareFor, type V86GuestFactoryOptions, v86Obstacles } from "./factory.ts";
import { compiledModule } from "./machine.ts";
import { faultingObstacle } from "./missing-ram.ts";
import { V86WorkerGuest, type V86WorkerGuestOptions } from "./worker-guest.ts";

/** What {@link V86WorkerGuestFactory} takes. */
export interface V86WorkerGuestFactoryOptions extends V86GuestFactoryOptions, V86WorkerGuestOptions {}

/** See the head of this file. */
export class V86WorkerGuestFactory implements GuestFactory {
	readonly kind = "v86";
	readonly #options: V86WorkerGuestFactoryOptions;

	/** @throws {GuestError} `incompatible` for another version of v86 */
	constructor(options: V86WorkerGuestFactoryOptions) {
		checkVersion(options.v86);
		this.#options = options;
	}

	check(layout: GuestLayout, options: SetUpOptions = {}): readonly Obstacle[] {
		const obstacles = v86Obstacles(layout, this.#options);
		const usesPae = layout.facts.pageTables === "pae";
		const message =
			options.faulting === true && obstacles.length === 0
				? faultingObstacle(compiledModule(this.#options.v86).patched, usesPae)
				: undefined;
		return message === undefined ? obstacles : [{ fact: "faulting", message }];
	}

	missing(): readonly string[] {
		return [];
	}

	async setUp(
		layout: GuestLayout,
		_resources?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
		signal?: AbortSignal,
		options?: SetUpOptions,
	): Promise<PreparedTarget & { readonly guest: V86WorkerGuest }> {
		const startedMs = this.#options.clock.now();
		checkSetUp(this.check(layout, options));
		const guest = await V86WorkerGuest.build(hardwareFor(layout, this.#options), this.#options, {
			faulting: options?.faulting ?? false,
			...(signal === undefined ? {} : { signal }),
		});
		return { guest, setupMs: this.#options.clock.now() - startedMs };
	}
}
