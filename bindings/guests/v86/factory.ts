/** Builds targets for v86 guests. What a guest boots from is not needed: it is in its pages. */
import {
	GuestError,
	type GuestFactory,
	type GuestLayout,
	type Obstacle,
	PAGE_BYTES,
	type PreparedTarget,
	type SetUpOptions,
} from "../../ports/guest.ts";
import { checkVersion, V86_VERSION } from "./emulator.ts";
import { V86Guest, type V86GuestOptions } from "./guest.ts";
import type { TimeMode } from "./guest-time.ts";
import { hardwareProblem, LARGEST_MEMORY_BYTES, type V86Hardware } from "./hardware.ts";

/** What {@link V86GuestFactory} takes. */
export interface V86GuestFactoryOptions extends V86GuestOptions {
	/** The largest guest that this side takes, in bytes of RAM: 1 GiB if left out. */
	readonly largestMemoryByteLength?: number;
	/** How time passes here: as at the source if left out. A saved guest can go on with another clock. */
	readonly time?: TimeMode;
	/** Whether guest code is compiled here: as at the source if left out. */
	readonly compile?: boolean;
}

/** See the head of this file. */
export class V86GuestFactory implements GuestFactory {
	readonly kind = "v86";
	readonly #options: V86GuestFactoryOptions;

	/** @throws {GuestError} `incompatible` for another version of v86 */
	constructor(options: V86GuestFactoryOptions) {
		checkVersion(options.v86);
		this.#options = options;
	}

	check(layout: GuestLayout, options: SetUpOptions = {}): readonly Obstacle[] {
		const obstacles = v86Obstacles(layout, this.#options);
		if (options.faulting !== true) return obstacles;
		const message =
			"a v86 guest on its host's own thread cannot wait for pages: take a V86WorkerGuestFactory here, or use pre-copy or stop-and-copy";
		return [...obstacles, { fact: "faulting", message }];
	}

	missing(): readonly string[] {
		return [];
	}

	async setUp(
		layout: GuestLayout,
		_resources?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
		_signal?: AbortSignal,
		options?: SetUpOptions,
	): Promise<PreparedTarget & { readonly guest: V86Guest }> {
		const startedMs = this.#options.clock.now();
		checkSetUp(this.check(layout, options));
		const guest = await V86Guest.build(hardwareFor(layout, this.#options), this.#options);
		return { guest, setupMs: this.#options.clock.now() - startedMs };
	}
}

/** Why no guest of this layout can be built here. */
export function v86Obstacles(layout: GuestLayout, options: V86GuestFactoryOptions): readonly Obstacle[] {
	const obstacles: Obstacle[] = [];
	const add = (fact: string, message: string): void => void obstacles.push({ fact, message });
	if (layout.kind !== "v86") {
		add("kind", `the source is a ${layout.kind} guest, this target takes v86 guests`);
		return obstacles;
	}
	const { largestMemoryByteLength = LARGEST_MEMORY_BYTES } = options;
	if (layout.pageBytes !== PAGE_BYTES)
		add("pageBytes", `the source has pages of ${layout.pageBytes} bytes, this target ${PAGE_BYTES}`);
	if (layout.pageCount * PAGE_BYTES > largestMemoryByteLength)
		add(
			"pageCount",
			`the source has ${layout.pageCount} pages, this target takes ${largestMemoryByteLength / PAGE_BYTES}: raise largestMemoryByteLength`,
		);
	if (layout.facts.v86 !== V86_VERSION)
		add("v86", `the source runs v86 ${layout.facts.v86}, this target ${V86_VERSION}: run the same on both sides`);
	const { time, compile } = layout.facts;
	if (time !== "real" && time !== "counted") add("time", `a clock that is '${time}' is not known here`);
	if (compile !== "true" && compile !== "false") add("compile", `'${compile}' is neither true nor false`);
	const { balloon } = layout.facts;
	if (balloon !== undefined && balloon !== "true") add("balloon", `a balloon that is '${balloon}' is not known here`);
	const problem = obstacles.length === 0 ? hardwareProblem(hardwareFor(layout, options)) : undefined;
	if (problem !== undefined) add("hardware", problem);
	return obstacles;
}

/** @throws {GuestError} for the first obstacle */
export function checkSetUp([obstacle]: readonly Obstacle[]): void {
	if (obstacle === undefined) return;
	const code = obstacle.fact === "pageCount" ? "too-large" : "incompatible";
	throw new GuestError(code, `${obstacle.fact}: ${obstacle.message}`);
}

/** The machine that such a guest needs here. */
export function hardwareFor({ pageCount, facts }: GuestLayout, { time, compile }: V86GuestFactoryOptions): V86Hardware {
	return {
		memoryByteLength: pageCount * PAGE_BYTES,
		vgaMemoryByteLength: Number(facts.vgaMemory),
		time: time ?? (facts.time === "counted" ? "counted" : "real"),
		compile: compile ?? facts.compile === "true",
		...(facts.balloon === "true" ? { balloon: true } : {}),
	};
}
