// The program and its instance inside the worker: started from the rewritten module, restarted on a larger memory where the
// program's glue keeps views of it.
//
// At a target the memory is all zero once the instance stands (what `start` wrote there is wiped), because the pages that
// arrive are then the whole truth.
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { messageOf } from "./errors.ts";
import { captureInstance, prepareInstance, restoreInstance } from "./instance-state.ts";
import { decodeInstanceState, encodeInstanceState } from "./instance-state-format.ts";
import { EXPOSED } from "./module/expose.ts";
import type { ModuleLayout } from "./module/layout.ts";
import { rewriteModule } from "./module/rewrite.ts";
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

// Taken before a program can replace them (emscripten.ts does, for the time of a start).
const { compile, instantiate } = WebAssembly;

/** What an instance is made of. */
export interface InstanceParts {
	readonly program: ProgramDefinition;
	readonly moduleBytes: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class GuestInstance {
	readonly #parts: InstanceParts;
	readonly #isTarget: boolean;
	#exports: WebAssembly.Exports;
	#layout: ModuleLayout;
	#running: RunningProgram;

	private constructor(parts: InstanceParts, isTarget: boolean, started: Started) {
		this.#parts = parts;
		this.#isTarget = isTarget;
		this.#exports = started.exports;
		this.#layout = started.layout;
		this.#running = started.running;
	}

	/** Starts a new guest and lets it do its first act. */
	static async begin(parts: InstanceParts): Promise<GuestInstance> {
		const instance = new GuestInstance(parts, false, await start(parts, 0, false));
		await instance.#running.initialize?.();
		return instance;
	}

	/** Starts a target of the source's size, its memory zero and touched. @throws GuestError `incompatible`, `state` */
	static async prepare(parts: InstanceParts, pageCount: number): Promise<GuestInstance> {
		const instance = new GuestInstance(parts, true, await start(parts, pageCount / PAGES_PER_WASM_PAGE, true));
		instance.#fit(pageCount);
		wipe(instance.memory, 0);
		return instance;
	}

	get memory(): WebAssembly.Memory {
		return exposedMemory(this.#exports);
	}

	get running(): RunningProgram {
		return this.#running;
	}

	get moduleBytes(): Uint8Array<ArrayBuffer> {
		return this.#parts.moduleBytes;
	}

	/** Pages of 4096 bytes. */
	get pageCount(): number {
		return this.memory.buffer.byteLength / PAGE_BYTES;
	}

	get maximumPageCount(): number {
		const { maximumPages } = this.#layout.memory;
		return Math.min(maximumPages ?? LARGEST_WASM_PAGES, LARGEST_WASM_PAGES) * PAGES_PER_WASM_PAGE;
	}

	/** A target becomes larger. @returns whether its memory is another one now */
	async grow(pageCount: number): Promise<boolean> {
		if (!this.#isTarget) throw new TypeError("only a target grows from outside");
		if (pageCount > this.maximumPageCount)
			throw new GuestError(
				"too-large",
				`the guest has ${pageCount} pages, this module's memory takes ${this.maximumPageCount}`,
			);
		if (pageCount <= this.pageCount) return false;
		if (!this.#parts.program.keepsMemoryViews) {
			const before = this.memory.buffer.byteLength;
			this.#fit(pageCount);
			wipe(this.memory, before);
			return false;
		}
		const installed = this.memory;
		const started = await start(this.#parts, pageCount / PAGES_PER_WASM_PAGE, true);
		this.#exports = started.exports;
		this.#running = started.running;
		this.#layout = started.layout;
		this.#fit(pageCount);
		wipe(this.memory, installed.buffer.byteLength);
		new Uint8Array(this.memory.buffer).set(new Uint8Array(installed.buffer));
		return true;
	}

	/** Globals, tables, dropped segments and what the program's hook carries. @throws GuestError `state` */
	async capture(): Promise<Uint8Array<ArrayBuffer>> {
		try {
			const instance = encodeInstanceState(captureInstance(this.#exports, this.#layout));
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
			restoreInstance(this.#exports, this.#layout, decodeInstanceState(instance, this.#layout));
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
		if (missing > 0 && !this.#parts.program.keepsMemoryViews) growMemory(this.memory, missing);
		if (this.pageCount === pageCount) return;
		const { name } = this.#parts.program;
		throw new GuestError(
			"state",
			`program ${name} started with a memory of ${this.pageCount} pages, the source has ${pageCount}: ` +
				"a memory that JavaScript makes must begin with context.minimumMemoryPages",
		);
	}
}

interface Started {
	readonly exports: WebAssembly.Exports;
	readonly layout: ModuleLayout;
	readonly running: RunningProgram;
}

async function start(parts: InstanceParts, minimumMemoryPages: number, isTarget: boolean): Promise<Started> {
	const { program, moduleBytes } = parts;
	// A start function has run at the source. Glue may rely on it having run here too; it is then overwritten.
	const dropStart = isTarget && !program.keepsMemoryViews;
	const { bytes, layout } = rewriteModule(moduleBytes, { minimumMemoryPages, dropStart });
	const module = await compileModule(bytes);
	let exports: WebAssembly.Exports | undefined;
	const context: StartContext = {
		moduleBytes,
		minimumMemoryPages,
		async instantiate(imports) {
			if (exports !== undefined) throw new TypeError("context.instantiate may be called once per start");
			const instance = await instantiateModule(module, imports);
			exports = instance.exports;
			return instance;
		},
		memory() {
			if (exports === undefined) throw new TypeError("context.memory: the module is not instantiated yet");
			return exposedMemory(exports);
		},
	};
	const running = await program.start(context);
	if (exports === undefined) throw new GuestError("state", `program ${program.name} did not call context.instantiate`);
	if (typeof running?.call !== "function")
		throw new GuestError("state", `program ${program.name}: start must return an object with a method call`);
	prepareInstance(exports, layout);
	return { exports, layout, running };
}

function exposedMemory(exports: WebAssembly.Exports): WebAssembly.Memory {
	const memory = exports[EXPOSED.memory];
	// allowed (bare-error): rewriteModule has added this export
	if (!(memory instanceof WebAssembly.Memory)) throw new Error(`no export ${EXPOSED.memory}`);
	return memory;
}

async function compileModule(bytes: Uint8Array): Promise<WebAssembly.Module> {
	try {
		return await compile(Uint8Array.from(bytes));
	} catch (cause) {
		throw new GuestError("incompatible", `this runtime refuses the guest's module: ${messageOf(cause)}`, cause);
	}
}

async function instantiateModule(
	module: WebAssembly.Module,
	imports: WebAssembly.Imports,
): Promise<WebAssembly.Instance> {
	try {
		return await instantiate(module, imports);
	} catch (cause) {
		if (cause instanceof RangeError)
			throw new GuestError("too-large", `the runtime has no memory for the guest: ${cause.message}`, cause);
		if (cause instanceof WebAssembly.LinkError)
			throw new GuestError("incompatible", `the program's imports do not fit its module: ${cause.message}`, cause);
		throw cause;
	}
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
