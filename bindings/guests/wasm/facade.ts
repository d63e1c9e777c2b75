// An instance as a program sees it whose code may change: functions that call whichever instance runs, tables that give
// out such functions, no memory.
import { RESERVED_PREFIX } from "./module/edit.ts";
import type { ModuleLayout } from "./module/layout.ts";
import { referenceKind } from "./module/types.ts";

/** What a facade asks at each call. */
type Current = () => WebAssembly.Exports;

/** An instance as a program sees it whose memory is reached through HostAccess alone. */
export function facadeOf(module: WebAssembly.Module, layout: ModuleLayout, current: Current): WebAssembly.Instance {
	const exports: Record<string, unknown> = {};
	const objects = new Set(layout.exports.filter((it) => holdsObjects(layout, it)).map(({ name }) => name));
	for (const { name, kind } of WebAssembly.Module.exports(module)) {
		if (name.startsWith(RESERVED_PREFIX)) continue;
		if (kind === "function") exports[name] = trampoline(() => current()[name]);
		else if (kind === "table" && !objects.has(name)) exports[name] = new FacadeTable(() => current()[name]);
		// Every variant has the same table, and what it holds belongs to no instance.
		else if (kind === "table") exports[name] = current()[name];
		else if (kind === "memory")
			Object.defineProperty(exports, name, {
				enumerable: true,
				get() {
					throw new TypeError(
						`exports.${name}: this program declares its host access, so memory is reached through context.host (docs/programs.md)`,
					);
				},
			});
		else Object.defineProperty(exports, name, { enumerable: true, get: () => current()[name] });
	}
	return Object.create(WebAssembly.Instance.prototype, { exports: { value: Object.freeze(exports) } });
}

/** A table of anything but functions. */
function holdsObjects({ tables }: ModuleLayout, { kind, index }: ModuleLayout["exports"][number]): boolean {
	return kind === "table" && referenceKind(tables[index]!.type) !== "function";
}

function trampoline(target: () => unknown): (...values: readonly unknown[]) => unknown {
	return (...values) => {
		const f = target();
		if (typeof f !== "function") throw new TypeError("there is no function here");
		return f(...values);
	};
}

/** The part of WebAssembly.Table that glue uses. */
class FacadeTable {
	readonly #current: () => unknown;
	readonly #given: Map<number, (...values: readonly unknown[]) => unknown> = new Map();

	constructor(current: () => unknown) {
		this.#current = current;
	}

	get #table(): WebAssembly.Table {
		const table = this.#current();
		// allowed (bare-error): the module has this export, whatever its variant
		if (!(table instanceof WebAssembly.Table)) throw new Error("the table is gone");
		return table;
	}

	get length(): number {
		return this.#table.length;
	}

	/** @returns a function that calls what the slot holds then */
	get(slot: number): unknown {
		if (typeof this.#table.get(slot) !== "function") return null;
		const known = this.#given.get(slot);
		if (known !== undefined) return known;
		const given = trampoline(() => this.#table.get(slot));
		this.#given.set(slot, given);
		return given;
	}

	set(slot: number, value: unknown): void {
		// allowed (cast): the engine refuses what a table cannot hold
		this.#table.set(slot, value as null);
	}

	grow(entries: number): number {
		return this.#table.grow(entries);
	}
}
