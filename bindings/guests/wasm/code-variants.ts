// The variants of a guest's module that can run, rewritten and compiled once: a set-up hands what it has compiled to the
// next one of the same module, in any worker of the process (code-cache.ts).
//
//   whole      what a new guest is started from
//   startless  the same without its start function: for a target, where it has run already
//   presence   takes over from either, and waits for missing pages
//   barrier    takes over from either, and marks the pages that it writes to
//   watched    both at once
import { GuestError } from "../../ports/guest.ts";
import { messageOf } from "../error-record.ts";
import type { ModuleLayout } from "./module/layout.ts";
import { type RewriteOptions, rewriteModule } from "./module/rewrite.ts";

/** Code that takes over from an instance which has been started. */
export type AttachedVariant = "presence" | "barrier" | "watched";

/** See the head of this file. */
export type CodeVariant = "whole" | "startless" | AttachedVariant;

/** Compiled variants of one module. Plain data: workers pass it on. */
export interface CompiledCode {
	readonly layout: ModuleLayout;
	readonly modules: Readonly<Partial<Record<CodeVariant, WebAssembly.Module>>>;
}

const OPTIONS: Readonly<Record<CodeVariant, RewriteOptions>> = {
	whole: {},
	startless: { dropStart: true },
	presence: { attach: true, checkPresence: true },
	barrier: { attach: true, trackWrites: true },
	watched: { attach: true, trackWrites: true, checkPresence: true },
};

// Taken before a program can replace it (emscripten.ts does, for the time of a start).
const { compile } = WebAssembly;

/** Compiles what is asked for and not there yet. */
export class ModuleCode {
	readonly #bytes: Uint8Array<ArrayBuffer>;
	readonly #modules: Partial<Record<CodeVariant, WebAssembly.Module>>;
	#layout: ModuleLayout | undefined;

	/** @param known from {@link compiled} of the same module, in whatever worker */
	constructor(bytes: Uint8Array<ArrayBuffer>, known?: CompiledCode) {
		this.#bytes = bytes;
		this.#layout = known?.layout;
		this.#modules = { ...known?.modules };
	}

	/** What there is so far. */
	get compiled(): CompiledCode {
		return { layout: this.layout, modules: { ...this.#modules } };
	}

	/** @throws TypeError before the first variant was asked for */
	get layout(): ModuleLayout {
		if (this.#layout === undefined) throw new TypeError("no variant of the module has been made yet");
		return this.#layout;
	}

	/** @throws WasmModuleError for a module that cannot be a guest; GuestError `incompatible` if the runtime refuses it */
	async get(variant: CodeVariant): Promise<WebAssembly.Module> {
		const known = this.#modules[variant];
		if (known !== undefined) return known;
		const { bytes, layout } = rewriteModule(this.#bytes, OPTIONS[variant]);
		this.#layout ??= layout;
		const module = await compileModule(bytes);
		this.#modules[variant] = module;
		return module;
	}
}

async function compileModule(bytes: Uint8Array): Promise<WebAssembly.Module> {
	try {
		return await compile(Uint8Array.from(bytes));
	} catch (cause) {
		throw new GuestError("incompatible", `this runtime refuses the guest's module: ${messageOf(cause)}`, cause);
	}
}
