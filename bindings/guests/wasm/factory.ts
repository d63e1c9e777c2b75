/**
 * Builds targets for wasm guests: programs by name, modules by hash. What a module's bytes cost to send is paid once; a
 * program that brings its own module, or a module that came before, is not sent again.
 */
import type { Clock } from "../../ports/clock.ts";
import {
	GuestError,
	type GuestFactory,
	type GuestLayout,
	type Obstacle,
	PAGE_BYTES,
	type PreparedTarget,
	type SetUpOptions,
} from "../../ports/guest.ts";
import type { WorkerPort } from "../../ports/worker.ts";
import type { TrackerName } from "./dirty-tracker.ts";
import { WasmGuest } from "./guest.ts";
import { LARGEST_WASM_PAGES, PAGES_PER_WASM_PAGE } from "./guest-instance.ts";
import { layoutFacts, MODULE_RESOURCE } from "./guest-state.ts";
import { MODULE_BYTES } from "./module/limits.ts";
import { supportsInstrumentation } from "./module/page-map.ts";
import { moduleFact } from "./module-hash.ts";
import type { ProgramDescription, ProgramFacts } from "./protocol.ts";
import { WorkerClient } from "./worker-client.ts";

/** What {@link WasmGuestFactory.open} takes. */
export interface WasmGuestFactoryOptions {
	readonly workers: WorkerPort;
	readonly clock: Clock;
	/** URLs of the programs that may run here. A guest names its program; nothing else of it is loaded from anywhere. */
	readonly programUrls: readonly string[];
	/** Modules by SHA-256 in hex. A map that outlives the factory spares sending a module twice. */
	readonly modules?: Map<string, Uint8Array<ArrayBuffer>>;
	/** The largest guest that this side takes, in pages of 4096 bytes. The most there is (4 GiB less 64 KiB) if left out. */
	readonly maximumPageCount?: number;
	/** See StartWasmGuestOptions. */
	readonly sliceMs?: number;
	/** See StartWasmGuestOptions. */
	readonly keepShadow?: boolean;
	/** See StartWasmGuestOptions. Of the guests that arrive here, once they have. */
	readonly tracker?: TrackerName;
}

interface KnownProgram {
	readonly url: string;
	readonly facts: ProgramFacts;
}

/** See the head of this file. */
export class WasmGuestFactory implements GuestFactory {
	readonly kind = "wasm";
	readonly #options: WasmGuestFactoryOptions;
	readonly #programs: ReadonlyMap<string, KnownProgram>;
	readonly #modules: Map<string, Uint8Array<ArrayBuffer>>;
	readonly #maximumPageCount: number;

	private constructor(options: WasmGuestFactoryOptions, programs: ReadonlyMap<string, KnownProgram>) {
		const largest = LARGEST_WASM_PAGES * PAGES_PER_WASM_PAGE;
		this.#options = options;
		this.#programs = programs;
		this.#modules = options.modules ?? new Map();
		this.#maximumPageCount = Math.min(options.maximumPageCount ?? largest, largest);
	}

	/**
	 * Asks each program, in a worker that ends again, for its name, version and module.
	 *
	 * @throws TypeError for a URL without a program, or two programs of one name; GuestError `crashed`
	 */
	static async open(options: WasmGuestFactoryOptions): Promise<WasmGuestFactory> {
		const programs = new Map<string, KnownProgram>();
		const modules = options.modules ?? new Map<string, Uint8Array<ArrayBuffer>>();
		for (const url of options.programUrls) {
			const { program, moduleBytes } = await describeProgram(options.workers, url);
			if (programs.has(program.name)) throw new TypeError(`programUrls: two programs are named ${program.name}`);
			programs.set(program.name, { url, facts: program });
			if (moduleBytes !== undefined) modules.set((await moduleFact(moduleBytes)).hash, moduleBytes);
		}
		return new WasmGuestFactory({ ...options, modules }, programs);
	}

	check(layout: GuestLayout, options: SetUpOptions = {}): readonly Obstacle[] {
		const obstacles: Obstacle[] = [];
		const add = (fact: string, message: string): void => void obstacles.push({ fact, message });
		if (layout.kind !== this.kind) {
			add("kind", `the source is a ${layout.kind} guest, this target takes wasm guests`);
			return obstacles;
		}
		if (layout.pageBytes !== PAGE_BYTES)
			add("pageBytes", `the source has pages of ${layout.pageBytes} bytes, this target ${PAGE_BYTES}`);
		if (!(layout.pageCount > 0) || layout.pageCount % PAGES_PER_WASM_PAGE !== 0)
			add("pageCount", `${layout.pageCount} pages are no WebAssembly memory: multiples of ${PAGES_PER_WASM_PAGE} are`);
		if (layout.pageCount > this.#maximumPageCount)
			add(
				"pageCount",
				`the source has ${layout.pageCount} pages, this target takes ${this.#maximumPageCount}: raise maximumPageCount`,
			);
		const module = moduleOf(layout);
		if (module === undefined) add("module", "the source must name one module by its SHA-256");
		else if (!(module.byteLength > 0) || module.byteLength > MODULE_BYTES)
			add("module", `a module of ${module.byteLength} bytes; at most ${MODULE_BYTES} are taken`);
		const known = this.#programs.get(layout.facts.program ?? "");
		if (known === undefined)
			add(
				"program",
				`the source runs program ${layout.facts.program}, this target knows ${[...this.#programs.keys()].join(", ") || "none"}`,
			);
		else {
			this.#compareFacts(layoutFacts(known.facts), layout.facts, add);
			if (options.faulting) checkFaulting(known.facts, add);
		}
		return obstacles;
	}

	#compareFacts(
		own: Readonly<Record<string, string>>,
		theirs: Readonly<Record<string, string>>,
		add: (fact: string, message: string) => void,
	): void {
		for (const fact of new Set([...Object.keys(own), ...Object.keys(theirs)]))
			if (own[fact] !== theirs[fact])
				add(
					fact,
					`the source has ${fact} ${theirs[fact] ?? "unset"}, this target ${own[fact] ?? "unset"}: run the same on both sides`,
				);
	}

	missing(layout: GuestLayout): readonly string[] {
		return layout.resources.filter(({ hash }) => !this.#modules.has(hash)).map(({ hash }) => hash);
	}

	async setUp(
		layout: GuestLayout,
		resources: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
		signal?: AbortSignal,
		setUpOptions?: SetUpOptions,
	): Promise<PreparedTarget> {
		const startMs = this.#options.clock.now();
		const [obstacle] = this.check(layout, setUpOptions);
		if (obstacle !== undefined) {
			const code = obstacle.fact === "pageCount" ? "too-large" : "incompatible";
			throw new GuestError(code, `${obstacle.fact}: ${obstacle.message}`);
		}
		const { hash } = moduleOf(layout)!;
		const moduleBytes = this.#modules.get(hash) ?? resources.get(hash);
		if (moduleBytes === undefined) throw new GuestError("incompatible", `module ${hash} was neither here nor sent`);
		const { url } = this.#programs.get(layout.facts.program!)!;
		const options = {
			...{ ...this.#options, programUrl: url, moduleBytes },
			// A scan would need all pages before it begins.
			...(setUpOptions?.checkpointed ? { tracker: "barrier" as const } : {}),
		};
		const guest = await WasmGuest.start(
			options,
			{
				pageCount: layout.pageCount,
				faulting: setUpOptions?.faulting ?? false,
				prefault: setUpOptions?.prefault ?? true,
			},
			signal,
		);
		// Kept only now: bytes that no instance could be made of are of no use for the next guest.
		this.#modules.set(hash, moduleBytes);
		guest.pages.buffers.prepare(PREPARED_BUFFERS);
		return { guest, setupMs: this.#options.clock.now() - startMs };
	}
}

/** One being filled from the link, one in the worker. */
const PREPARED_BUFFERS = 2;

/** What keeps a guest from running while pages are missing. */
function checkFaulting({ name, hostAccess }: ProgramFacts, add: (fact: string, message: string) => void): void {
	if (hostAccess !== "declared")
		add(
			"hostAccess",
			`program ${name} does not declare its host access: JavaScript that reads guest memory while pages are missing ` +
				"would read zeros without an error; use pre-copy, or declare it (docs/programs.md)",
		);
	if (!supportsInstrumentation())
		add(
			"faulting",
			"this runtime has no second WebAssembly memory, in which missing pages are looked up: " +
				"run the target on Node 22 or later or Deno, or use pre-copy",
		);
}

function moduleOf(layout: GuestLayout): GuestLayout["resources"][number] | undefined {
	const [module, more] = layout.resources;
	if (more !== undefined || module?.name !== MODULE_RESOURCE || !/^[0-9a-f]{64}$/.test(module.hash)) return undefined;
	return module;
}

async function describeProgram(workers: WorkerPort, programUrl: string): Promise<ProgramDescription> {
	const client: WorkerClient = new WorkerClient(workers.start("wasm-guest"), {
		onCallSettled: () => undefined,
		onReport: () => undefined,
		onEnd: (error) =>
			client.end(
				new GuestError("crashed", `the worker that was to describe ${programUrl} ended: ${String(error)}`, error),
			),
	});
	try {
		return await client.request({ kind: "describe", programUrl });
	} finally {
		await client.terminate();
	}
}
