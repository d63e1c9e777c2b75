// The program and its instance inside the worker: started from the rewritten module, restarted on a larger memory where the
// program's glue keeps views of it.
//
// At a target the memory is all zero once the instance stands (what `start` wrote there is wiped), because the pages that
// arrive are then the whole truth.
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { messageOf } from "../error-record.ts";
import { type CompiledCode, ModuleCode } from "./code-variants.ts";
import { facadeOf } from "./facade.ts";
import { HostAccess, type MemoryWatch, UNWATCHED } from "./host-access.ts";
import { requireDeclaredRuntime } from "./host-runtime.ts";
import { captureInstance, restoreInstance } from "./instance-state.ts";
import { decodeInstanceState, encodeInstanceState } from "./instance-state-format.ts";
import { instantiateModule, LiveCode } from "./live-code.ts";
import type { ProgramDefinition, RunningProgram, StartContext } from "./program.ts";
import { decodeGuestState, encodeGuestState } from "./state-format.ts";

/** Bytes of a WebAssembly page. */
const WASM_PAGE_BYTES = 65536;
/** Pages of 4096 bytes in one WebAssembly page: a guest's size is always a multiple. */
export const PAGES_PER_WASM_PAGE: number = WASM_PAGE_BYTES / PAGE_BYTES;
/**
 * 4 GiB less one WebAssembly page: typed arrays of Node 20 end one byte short of 4 GiB, and no offset past a region's end
 * may wrap.
 */
export const LARGEST_WASM_PAGES = 65_535;

/** What an instance is made of. */
export interface InstanceParts {
	readonly program: ProgramDefinition;
	readonly moduleBytes: Uint8Array<ArrayBuffer>;
	/** What was compiled before of the same module. */
	readonly compiled?: CompiledCode | undefined;
	/** What has to be ready before it runs. */
	readonly prepare?: ((live: LiveCode) => Promise<void>) | undefined;
}

/** What all starts of one guest share. */
interface Origin extends InstanceParts {
	readonly code: ModuleCode;
	readonly isTarget: boolean;
	/** Who watches what host code touches, now. */
	watch: MemoryWatch;
	onEmit: (value: unknown) => void;
}

/** See the head of this file. */
export class GuestInstance {
	readonly #origin: Origin;
	#live: LiveCode;
	#running: RunningProgram;

	private constructor(origin: Origin, started: Started) {
		this.#origin = origin;
		this.#live = started.live;
		this.#running = started.running;
	}

	/** Starts a new guest and lets it do its first act. */
	static async begin(parts: InstanceParts): Promise<GuestInstance> {
		const origin = originOf(parts, false);
		const instance = new GuestInstance(origin, await start(origin, 0));
		await instance.#running.initialize?.();
		return instance;
	}

	/**
	 * Starts a target of the source's size, its memory zero.
	 * @param prefault - whether its memory is touched as well, where that can be left out.
	 * @throws GuestError `incompatible`, `state`
	 */
	static async prepare(parts: InstanceParts, pageCount: number, prefault: boolean): Promise<GuestInstance> {
		const origin = originOf(parts, true);
		// What the program's start may have written is in the memory it starts with; what is added afterwards is zero as it is.
		const startsSmall = !prefault && !parts.program.keepsMemoryViews;
		const instance = new GuestInstance(origin, await start(origin, startsSmall ? 0 : pageCount / PAGES_PER_WASM_PAGE));
		if (startsSmall) wipe(instance.memory, 0);
		instance.#fit(pageCount);
		if (!startsSmall) wipe(instance.memory, 0);
		return instance;
	}

	get memory(): WebAssembly.Memory {
		return this.#live.memory;
	}

	/** The code that runs, and what can take over from it. */
	get live(): LiveCode {
		return this.#live;
	}

	/** What has been compiled so far. */
	get compiled(): CompiledCode {
		return this.#origin.code.compiled;
	}

	/** Who watches what host code touches from now on. */
	set watch(watch: MemoryWatch) {
		this.#origin.watch = watch;
	}

	get program(): ProgramDefinition {
		return this.#origin.program;
	}

	get running(): RunningProgram {
		return this.#running;
	}

	get moduleBytes(): Uint8Array<ArrayBuffer> {
		return this.#origin.moduleBytes;
	}

	/** Pages of 4096 bytes. */
	get pageCount(): number {
		return this.memory.buffer.byteLength / PAGE_BYTES;
	}

	get maximumPageCount(): number {
		const { maximumPages } = this.#live.layout.memory;
		return Math.min(maximumPages ?? LARGEST_WASM_PAGES, LARGEST_WASM_PAGES) * PAGES_PER_WASM_PAGE;
	}

	/** A target becomes larger. @returns whether its memory is another one now */
	async grow(pageCount: number): Promise<boolean> {
		if (!this.#origin.isTarget) throw new TypeError("only a target grows from outside");
		if (pageCount > this.maximumPageCount)
			throw new GuestError(
				"too-large",
				`the guest has ${pageCount} pages, this module's memory takes ${this.maximumPageCount}`,
			);
		if (pageCount <= this.pageCount) return false;
		if (!this.program.keepsMemoryViews) {
			const before = this.memory.buffer.byteLength;
			this.#fit(pageCount);
			wipe(this.memory, before);
			return false;
		}
		const installed = this.memory;
		const started = await start(this.#origin, pageCount / PAGES_PER_WASM_PAGE);
		this.#live = started.live;
		this.#running = started.running;
		this.#fit(pageCount);
		wipe(this.memory, installed.buffer.byteLength);
		new Uint8Array(this.memory.buffer).set(new Uint8Array(installed.buffer));
		return true;
	}

	/** A paused copy becomes as large as the guest that it follows. @throws GuestError `too-large`, `state` */
	extend(pageCount: number): void {
		if (pageCount > this.maximumPageCount)
			throw new GuestError(
				"too-large",
				`the guest has ${pageCount} pages, this module's memory takes ${this.maximumPageCount}`,
			);
		if (pageCount > this.pageCount) this.#fit(pageCount);
	}

	/** Who hears what the program emits from now on. */
	set onEmit(onEmit: (value: unknown) => void) {
		this.#origin.onEmit = onEmit;
	}

	/** Globals, tables, dropped segments and what the program's hook carries. @throws GuestError `state` */
	async capture(): Promise<Uint8Array<ArrayBuffer>> {
		try {
			const instance = encodeInstanceState(captureInstance(this.#live.exports, this.#live.layout));
			const program = (await this.#running.capture?.()) ?? new Uint8Array(0);
			if (!(program instanceof Uint8Array)) throw new TypeError("the program's capture() must return a Uint8Array");
			return encodeGuestState({ instance, program });
		} catch (cause) {
			throw stateError("captured", cause);
		}
	}

	/** @throws GuestError `state`; the target is unusable then */
	async restore(bytes: Uint8Array): Promise<void> {
		try {
			const { instance, program } = decodeGuestState(bytes);
			const { exports, layout } = this.#live;
			const running = this.#running;
			const hooks =
				running.foreignEntry === undefined
					? {}
					: { foreignEntry: (table: number, slot: number) => running.foreignEntry?.(table, slot) ?? null };
			restoreInstance(exports, layout, decodeInstanceState(instance, layout), hooks);
			if (this.#running.restore !== undefined) await this.#running.restore(program);
			else if (program.byteLength > 0)
				throw new TypeError("the state has program bytes, but the program has no restore()");
		} catch (cause) {
			throw stateError("restored", cause);
		}
	}

	/** Grows the memory to this size where that is allowed. @throws GuestError `state` when it has another size then */
	#fit(pageCount: number): void {
		const missing = (pageCount - this.pageCount) / PAGES_PER_WASM_PAGE;
		if (missing > 0 && !this.program.keepsMemoryViews) growMemory(this.memory, missing);
		if (this.pageCount === pageCount) return;
		const { name } = this.program;
		throw new GuestError(
			"state",
			`program ${name} started with a memory of ${this.pageCount} pages, the source has ${pageCount}: ` +
				"a memory that JavaScript makes must begin with context.minimumMemoryPages",
		);
	}
}

interface Started {
	readonly live: LiveCode;
	readonly running: RunningProgram;
}

function originOf(parts: InstanceParts, isTarget: boolean): Origin {
	return {
		...parts,
		isTarget,
		code: new ModuleCode(parts.moduleBytes, parts.compiled),
		watch: UNWATCHED,
		onEmit: () => undefined,
	};
}

async function start(origin: Origin, minimumMemoryPages: number): Promise<Started> {
	const { program, moduleBytes, code, isTarget } = origin;
	// A start function has run at the source. Glue may rely on it having run here too; it is then overwritten.
	const module = await code.get(isTarget && !program.keepsMemoryViews ? "startless" : "whole");
	let live: LiveCode | undefined;
	const started = (): LiveCode => {
		if (live === undefined) throw new TypeError("the module is not instantiated yet");
		return live;
	};
	const context: StartContext = {
		moduleBytes,
		minimumMemoryPages,
		async instantiate(imports) {
			if (live !== undefined) throw new TypeError("context.instantiate may be called once per start");
			if (program.hostAccess === "declared") requireDeclaredRuntime(program.name, code.layout, imports);
			const instance = await instantiateModule(module, imports);
			live = new LiveCode(code, imports, instance.exports);
			if (code.layout.memory.imported === null) raiseMemory(live.memory, minimumMemoryPages);
			return program.hostAccess === "declared" ? facadeOf(module, code.layout, () => started().exports) : instance;
		},
		memory() {
			if (program.hostAccess === "declared")
				throw new TypeError("context.memory: this program declares its host access; use context.host");
			return started().memory;
		},
		emit: (value) => origin.onEmit(value),
		host: new HostAccess(
			() => started().memory,
			() => origin.watch,
		),
	};
	const running = await program.start(context);
	if (live === undefined) throw new GuestError("state", `program ${program.name} did not call context.instantiate`);
	if (typeof running?.call !== "function")
		throw new GuestError("state", `program ${program.name}: start must return an object with a method call`);
	started().prepareCapture();
	await origin.prepare?.(started());
	return { live: started(), running };
}

/** Gives a memory that the module makes the source's size, before any glue looks at it. */
function raiseMemory(memory: WebAssembly.Memory, wasmPages: number): void {
	const missing = wasmPages - memory.buffer.byteLength / WASM_PAGE_BYTES;
	if (missing > 0) growMemory(memory, missing);
}

function growMemory(memory: WebAssembly.Memory, wasmPages: number): void {
	try {
		memory.grow(wasmPages);
	} catch (cause) {
		throw new GuestError("too-large", `the runtime refuses ${wasmPages} more pages of 64 KiB to the guest`, cause);
	}
}

/** Writes zeros from `offset` on, which also touches every page: first touch costs 0.35 GB/s, better now than in a move. */
function wipe(memory: WebAssembly.Memory, offset: number): void {
	new Uint8Array(memory.buffer, offset).fill(0);
}

function stateError(what: "captured" | "restored", cause: unknown): GuestError {
	if (cause instanceof GuestError) return cause;
	return new GuestError("state", `the guest's state could not be ${what}: ${messageOf(cause)}`, cause);
}
