// An instance as a program sees it whose code may change: functions that call whichever instance runs, tables that give
// out such functions, no memory.
import { RESERVED_PREFIX } from "./module/edit.ts";

/** What a facade asks at each call. */
type Current = () => WebAssembly.Exports;

/** An instance as a program sees it whose memory is reached through HostAccess alone. */
export function facadeOf(module: WebAssembly.Module, current: Current): WebAssembly.Instance {
	const exports: Record<string, unknown> = {};
	for (const { name, kind } of WebAssembly.Module.exports(module)) {
		if (name.startsWith(RESERVED_PREFIX)) continue;
		if (kind === "function") exports[name] = trampoline(() => current()[name]);
		else if (kind === "table") exports[name] = new FacadeTable(() => current()[name]);
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
