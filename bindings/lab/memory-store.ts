/** A store that lives and dies with this process: for tests and the lab. */

import { type ByteRange, type Store, StoreError } from "../ports/store.ts";
import { checkByteRange, checkReferenceValue, checkStoreName } from "../ports/store-names.ts";

/**
 * Keeps the port's whole contract but survival.
 *
 * ```ts
 * const store = new MemoryStore();
 * await store.put("images/1", new Uint8Array([1, 2, 3]));
 * if ((await store.list("images/")).length !== 1) throw new RangeError("not stored");
 * ```
 */
export class MemoryStore implements Store {
	readonly #objects = new Map<string, Uint8Array<ArrayBuffer>>();
	readonly #references = new Map<string, Uint8Array<ArrayBuffer>>();

	async put(name: string, bytes: Uint8Array): Promise<void> {
		checkStoreName(name);
		const present = this.#objects.get(name);
		if (present === undefined) this.#objects.set(name, new Uint8Array(bytes));
		else if (!isSame(present, bytes)) throw new StoreError("exists", `"${name}" exists with other bytes; it was kept`);
	}

	async get(name: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
		checkStoreName(name);
		if (range !== undefined) checkByteRange(range);
		const bytes = this.#objects.get(name);
		if (bytes === undefined) throw new StoreError("missing", `there is no object "${name}"`);
		return range === undefined ? bytes.slice() : bytes.slice(range.offset, range.offset + range.byteLength);
	}

	async list(prefix: string): Promise<readonly string[]> {
		return namesWith(prefix, this.#objects);
	}

	async delete(name: string): Promise<void> {
		checkStoreName(name);
		this.#objects.delete(name);
	}

	async readReference(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
		checkStoreName(name);
		return this.#references.get(name)?.slice();
	}

	async compareAndSetReference(
		name: string,
		expected: Uint8Array | undefined,
		next: Uint8Array | undefined,
	): Promise<boolean> {
		checkStoreName(name);
		checkReferenceValue("expected", expected);
		checkReferenceValue("next", next);
		if (!isSame(this.#references.get(name), expected)) return false;
		if (next === undefined) this.#references.delete(name);
		else this.#references.set(name, new Uint8Array(next));
		return true;
	}

	async listReferences(prefix: string): Promise<readonly string[]> {
		return namesWith(prefix, this.#references);
	}
}

const namesWith = (prefix: string, entries: ReadonlyMap<string, unknown>): readonly string[] =>
	[...entries.keys()].filter((name) => name.startsWith(prefix)).sort();

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
	if (one === undefined || other === undefined) return one === other;
	return one.byteLength === other.byteLength && one.every((byte, index) => byte === other[index]);
}
