// The code of a guest that runs, and its change at a call boundary: one instance is started, others take over its memory
// and tables, with its globals carried over, and give them back.
//
//   started ──switchTo(presence)──▶ presence ──switchTo("plain")──▶ started
//
// A program that lives through this never holds a function of an instance: it is given a facade whose functions call
// whichever instance runs, and whose tables give out such functions too. Glue that cached a table's function would
// otherwise call the old instance, which works on globals that nobody carries over any more.

import { GuestError } from "../../ports/guest.ts";
import { messageOf } from "../error-record.ts";
import type { AttachedVariant, ModuleCode } from "./code-variants.ts";
import { captureInstance, prepareInstance, restoreInstance } from "./instance-state.ts";
import { attachImports } from "./module/attach.ts";
import { EXPOSED } from "./module/expose.ts";
import { WATCHED } from "./module/instrument.ts";
import type { ModuleLayout } from "./module/layout.ts";

// Taken before a program can replace it.
const { instantiate } = WebAssembly;

/** See the head of this file. */
export class LiveCode {
	readonly #code: ModuleCode;
	readonly #imports: WebAssembly.Imports;
	readonly #started: WebAssembly.Exports;
	readonly #attached: Map<AttachedVariant, WebAssembly.Exports> = new Map();
	#running: WebAssembly.Exports;
	#variant: AttachedVariant | "plain" = "plain";

	/** @param started the exports of an instance of `code` that has been started with `imports` */
	constructor(code: ModuleCode, imports: WebAssembly.Imports, started: WebAssembly.Exports) {
		this.#code = code;
		this.#imports = imports;
		this.#started = started;
		this.#running = started;
	}

	/** The running instance's exports. */
	get exports(): WebAssembly.Exports {
		return this.#running;
	}

	get layout(): ModuleLayout {
		return this.#code.layout;
	}

	/** Which code runs. */
	get variant(): AttachedVariant | "plain" {
		return this.#variant;
	}

	get memory(): WebAssembly.Memory {
		return exposedMemory(this.#started, EXPOSED.memory);
	}

	/** Looks up ahead of time what a capture needs. */
	prepareCapture(): void {
		prepareInstance(this.#running, this.layout);
	}

	/** Makes an instance that can take over, ahead of time. @throws what compiling and instantiating throw */
	async ready(variant: AttachedVariant): Promise<void> {
		if (this.#attached.has(variant)) return;
		const module = await this.#code.get(variant);
		const imports = { ...this.#imports, ...attachImports(this.#started, this.layout) };
		const { exports } = await instantiateModule(module, imports);
		prepareInstance(exports, this.layout);
		this.#attached.set(variant, exports);
	}

	/** The second memory of a variant that is {@link ready}. */
	map(variant: AttachedVariant): WebAssembly.Memory {
		return exposedMemory(this.#of(variant), WATCHED.map);
	}

	/** What code that waits for a page calls. */
	onArrive(variant: "presence" | "watched", arrive: (pageIndex: number) => void): void {
		const table = this.#of(variant)[WATCHED.arrive];
		// allowed (bare-error): rewriteModule has added this export
		if (!(table instanceof WebAssembly.Table)) throw new Error(`no export ${WATCHED.arrive}`);
		table.set(0, tableFunction(arrive));
	}

	/**
	 * At a call boundary: carries globals, table entries and dropped segments over. The instance must be {@link ready}.
	 * @throws InstanceStateError `host-reference`; nothing has changed then
	 */
	switchTo(variant: AttachedVariant | "plain"): void {
		if (variant === this.#variant) return;
		const next = variant === "plain" ? this.#started : this.#of(variant);
		restoreInstance(next, this.layout, captureInstance(this.#running, this.layout));
		this.#running = next;
		this.#variant = variant;
	}

	#of(variant: AttachedVariant): WebAssembly.Exports {
		const exports = this.#attached.get(variant);
		if (exports === undefined) throw new TypeError(`the variant ${variant} is not ready`);
		return exports;
	}
}

function exposedMemory(exports: WebAssembly.Exports, name: string): WebAssembly.Memory {
	const memory = exports[name];
	// allowed (bare-error): rewriteModule has added this export
	if (!(memory instanceof WebAssembly.Memory)) throw new Error(`no export ${name}`);
	return memory;
}

/** @throws GuestError `too-large` or `incompatible`; what the start function throws */
export async function instantiateModule(
	module: WebAssembly.Module,
	imports: WebAssembly.Imports,
): Promise<WebAssembly.Instance> {
	try {
		return await instantiate(module, imports);
	} catch (cause) {
		if (cause instanceof RangeError)
			throw new GuestError("too-large", `the runtime has no memory for the guest: ${cause.message}`, cause);
		if (cause instanceof WebAssembly.LinkError)
			throw new GuestError("incompatible", `the program's imports do not fit its module: ${messageOf(cause)}`, cause);
		throw cause;
	}
}

/** `(module (import "a" "f" (func (param i32))) (export "f" (func 0)))`: a table takes no plain JavaScript function. */
const WRAPPER = Uint8Array.of(
	...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
	...[1, 5, 1, 0x60, 1, 0x7f, 0],
	...[2, 7, 1, 1, 0x61, 1, 0x66, 0, 0],
	...[7, 5, 1, 1, 0x66, 0, 0],
);

/** A function that a table takes. */
export function tableFunction(call: (value: number) => void): CallableFunction {
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(WRAPPER), { a: { f: call } });
	const { f } = exports;
	// allowed (bare-error): the module above exports it
	if (typeof f !== "function") throw new Error("no export f");
	return f;
}
