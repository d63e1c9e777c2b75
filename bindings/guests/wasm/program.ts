/**
 * A program: what turns a WebAssembly module into a guest. It is the default export of an ES module that the guest's
 * worker loads by URL; the contract is docs/programs.md.
 *
 *   start ──▶ initialize (only a new guest) ──▶ call … call ──▶ quiesce ──▶ capture          at the source
 *   start ──▶ restore ──▶ wake ──▶ call …                                                     at the target
 *   start ──▶ restore ──▶ restored ──▶ wake ──▶ call …                                        at a target from a snapshot
 *                                        a pause that is undone: quiesce ──▶ wake
 */
import type { RestoreFacts } from "../../ports/told-guest.ts";
import { messageOf } from "../error-record.ts";
import type { HostAccess } from "./host-access.ts";
import type { ProgramBalloon } from "./program-balloon.ts";

/** What {@link defineProgram} takes. */
export interface ProgramDefinition {
	/** Both sides of a move must run a program of the same name and version. */
	readonly name: string;
	/** Changes whenever `start`, `capture` or `restore` changes what it expects of the other. */
	readonly version: string;
	/** What answers may depend on beside the requests. Equal on both sides, or the move is refused before it starts. */
	readonly policy: ProgramPolicy;
	/**
	 * JavaScript around the module keeps views of its memory that only its own growth path refreshes, as Emscripten's glue
	 * does. Growth from outside then starts the program again on a larger memory instead of calling `memory.grow`.
	 */
	readonly keepsMemoryViews: boolean;
	/**
	 * `declared`: its JavaScript reaches the module's memory through {@link StartContext.host} alone, and says what its
	 * imports touch. Only such a program can run while pages are missing (post-copy), or be tracked by a write barrier.
	 */
	readonly hostAccess?: "declared";
	/** The module's bytes. Left out: they come with `StartWasmGuestOptions.moduleBytes`, or from the source of a move. */
	readonly moduleBytes?: () => Uint8Array | Promise<Uint8Array>;
	/**
	 * Instantiates the module (exactly once, through `context`) and returns what answers calls. Runs at the source, at the
	 * target, and again at the target when a program that keeps views must grow. What it writes into the guest's memory at
	 * a target is overwritten.
	 */
	start(context: StartContext): RunningProgram | Promise<RunningProgram>;
}

/** Free words that both sides compare; these are usual. */
export interface ProgramPolicy {
	/** `none`: never reads a clock. `host`: reads the host's, which may jump at a move. `carried`: hooks carry an offset. */
	readonly clock: "none" | "host" | "carried";
	/** `none`: uses no randomness. `seeded`: its generator's state lies in guest memory. `host`: asks the host each time. */
	readonly random: "none" | "seeded" | "host";
}

/** What `start` is given. */
export interface StartContext {
	/** The guest's module as it came. For packages that insist on reading it; what runs is the guest's own variant. */
	readonly moduleBytes: Uint8Array<ArrayBuffer>;
	/**
	 * What a memory that JavaScript makes (an imported one) must have at least, in pages of 64 KiB: the source's size.
	 * A memory that the module defines has it already. 0 for a new guest.
	 */
	readonly minimumMemoryPages: number;
	/** Instantiates the guest's module. May be called once per start. */
	instantiate(imports: WebAssembly.Imports): Promise<WebAssembly.Instance>;
	/**
	 * The guest's memory, for glue that does not show it. Take its buffer anew at each use: growth detaches the old one.
	 * @throws TypeError before {@link instantiate} has resolved, and for a program that declares its host access
	 */
	memory(): WebAssembly.Memory;
	/** The guest's memory for JavaScript that says what it touches. */
	readonly host: HostAccess;
	/**
	 * Says something to the outside, beside the answers of calls: whoever listens at the guest (`outputs`) hears it, in order
	 * with them. While output is held for a checkpoint it waits like an answer; what JavaScript does to the outside by itself
	 * cannot be held.
	 * @param value - anything structured cloning carries
	 */
	emit(value: unknown): void;
}

/** A started program. */
export interface RunningProgram {
	/** The first act of a new guest. Never called on a target. */
	initialize?(): void | Promise<void>;
	/**
	 * Answers one request. Requests and responses are values that structured cloning carries. Calls come one at a time.
	 * What it throws goes to the caller as a {@link ProgramError}; the guest stays usable, after a trap too.
	 */
	call(request: unknown): unknown;
	/**
	 * Before a pause: brings to rest what lives outside the module (timers, pending promises, open files). After it nothing
	 * may run until `wake`. A pause whose deadline passes meanwhile is undone by `wake`.
	 */
	quiesce?(): void | Promise<void>;
	/** Undoes `quiesce`: at the source when a pause ends, at a target when it is activated. */
	wake?(): void | Promise<void>;
	/** What JavaScript holds of the guest (pointers, handles), as bytes. The guest is paused. */
	capture?(): Uint8Array | Promise<Uint8Array>;
	/** The balloon of its allocator, if that has one; see `balloonOf`. */
	readonly balloon?: ProgramBalloon;
	/** Puts captured bytes into a program that has been started and whose memory, globals and tables are installed. */
	restore?(bytes: Uint8Array): void | Promise<void>;
	/**
	 * Supplies the function for a place of a table that JavaScript had filled at the source (Emscripten's addFunction): an
	 * exported WebAssembly function, since a table takes no other. `null` keeps the one that `start` has put there; without
	 * either the restore fails, by place. A global is asked for as table -1, its index as slot.
	 */
	foreignEntry?(table: number, slot: number): CallableFunction | null;
	/**
	 * At a target that comes from a snapshot, after `restore` and before `wake`: which copy it is, and what is to become of its
	 * clock and its random numbers. A generator is seeded anew here; a carried clock looks at the host's again. Not called
	 * after a move. What it throws fails the restore.
	 */
	restored?(facts: RestoreFacts): void | Promise<void>;
}

/**
 * Declares a program; checks its shape, changes nothing.
 *
 * @throws TypeError naming the field
 * @example
 * ```ts
 * import { defineProgram } from "./program.ts";
 * export default defineProgram({
 * 	name: "counter",
 * 	version: "1",
 * 	policy: { clock: "none", random: "none" },
 * 	keepsMemoryViews: false,
 * 	async start({ instantiate }) {
 * 		const { exports } = await instantiate({});
 * 		return { call: () => (exports.increment as () => number)() };
 * 	},
 * });
 * ```
 */
export function defineProgram(definition: ProgramDefinition): ProgramDefinition {
	checkProgram(definition);
	return definition;
}

/** @throws TypeError naming what is missing */
export function checkProgram(value: unknown): asserts value is ProgramDefinition {
	if (typeof value !== "object" || value === null)
		throw new TypeError("a program is an object made with defineProgram");
	const { name, version, policy, keepsMemoryViews, hostAccess, moduleBytes, start }: Partial<Record<string, unknown>> =
		{
			...value,
		};
	if (typeof name !== "string" || name === "") throw new TypeError("program.name must be a non-empty string");
	if (typeof version !== "string" || version === "") throw new TypeError("program.version must be a non-empty string");
	const { clock, random }: Partial<Record<string, unknown>> = { ...(typeof policy === "object" ? policy : {}) };
	if (clock !== "none" && clock !== "host" && clock !== "carried")
		throw new TypeError('program.policy.clock must be "none", "host" or "carried"');
	if (random !== "none" && random !== "seeded" && random !== "host")
		throw new TypeError('program.policy.random must be "none", "seeded" or "host"');
	if (typeof keepsMemoryViews !== "boolean") throw new TypeError("program.keepsMemoryViews must be true or false");
	if (hostAccess !== undefined && hostAccess !== "declared")
		throw new TypeError('program.hostAccess must be "declared", if given');
	if (moduleBytes !== undefined && typeof moduleBytes !== "function")
		throw new TypeError("program.moduleBytes must be a function, if given");
	if (typeof start !== "function") throw new TypeError("program.start must be a function");
}

/** The default export of a program's module. @throws TypeError saying what is wrong with it */
export function programOf(loaded: unknown, url: string): ProgramDefinition {
	const exported = typeof loaded === "object" && loaded !== null && "default" in loaded ? loaded.default : undefined;
	try {
		checkProgram(exported);
	} catch (cause) {
		throw new TypeError(`${url} has no program as its default export: ${messageOf(cause)}`, { cause });
	}
	return exported;
}
