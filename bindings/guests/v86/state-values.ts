// What v86's state is made of, as bytes: numbers and lists become tags and values, arrays are put aside and leave their kind and
// place. Text (JSON) costs twice the time of all the rest, and a pause waits for it.
//
//   block 0 := u32 tags │ u32 values │ tags, a byte each, padded to 8 │ values, f64 each │ small arrays, each padded to 8
//   a large array is a block of its own: see state-blocks.ts
//
//   tag     null │ true │ false │ number │ list  │ text                       │ an array: 16 + its kind
//   values  –    │ –    │ –     │ itself │ count │ count │ UTF-16 units, each │ block │ from there (in block 0: behind the
//                                                                                values) │ byte length
//
// v86's registers are proxies, of which each property makes a view of its memory anew: where one lies is asked once.
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import type { V86Device, V86Numbers, V86State } from "./emulator.ts";
import type { LargeArray } from "./state-blocks.ts";

/** From here on an array has a block of its own. */
const LARGE_BYTES = 16_384;

const Tag = { null: 0, true: 1, false: 2, number: 3, list: 4, text: 5, array: 16 } as const;
const HEADER_BYTES = 8;
const VALUE_BYTES = 8;

/** Kinds of arrays that device state is made of: a kind's number is its place here. */
const ARRAYS = [
	Uint8Array,
	Int8Array,
	Uint16Array,
	Int16Array,
	Uint32Array,
	Int32Array,
	Float32Array,
	Float64Array,
] as const;
const KINDS = new Map<unknown, number>(ARRAYS.map((array, kind) => [array, kind]));

/** An array's kind and bytes. */
interface KnownArray {
	readonly kind: number;
	readonly bytes: Uint8Array;
	readonly byteLength: number;
	/** Its first page in the machine's memory, where it lies there in whole pages. */
	readonly memoryPage: number | undefined;
}

/** Bytes and where they belong. */
export interface Piece {
	readonly at: number;
	readonly bytes: Uint8Array;
}

/** Takes states of one machine apart, one after another. */
export class ValueWriter {
	readonly #proxies = new WeakMap<object, KnownArray>();
	/** A state of this machine has 900 of each. */
	#tags = new Uint8Array(2048);
	#values = new Float64Array(2048);
	#tagCount = 0;
	#valueCount = 0;
	#small: Piece[] = [];
	#smallBytes = 0;
	#large: LargeArray[] = [];
	#unchanged: object | undefined;

	/** Begins a state. @param unchanged - an array that is what it was in the last one */
	begin(unchanged: object | undefined): void {
		this.#tagCount = this.#valueCount = this.#smallBytes = 0;
		this.#small = [];
		this.#large = [];
		this.#unchanged = unchanged;
	}

	/** @throws {GuestError} `state` for an object that is neither list, array nor device */
	put(state: V86State): void {
		if (state === undefined || state === null) this.#tag(Tag.null);
		else if (typeof state === "number") this.#number(state);
		else if (typeof state === "boolean") this.#tag(state ? Tag.true : Tag.false);
		else if (typeof state === "string") this.#text(state);
		else this.#object(state);
	}

	/** What was put: block 0 in pieces, and the large arrays. */
	end(): { readonly pieces: readonly Piece[]; readonly byteLength: number; readonly large: readonly LargeArray[] } {
		const valuesAt = HEADER_BYTES + paddedTo8(this.#tagCount);
		const start = valuesAt + this.#valueCount * VALUE_BYTES;
		const header = Uint32Array.of(this.#tagCount, this.#valueCount);
		const pieces: Piece[] = [
			{ at: 0, bytes: new Uint8Array(header.buffer) },
			{ at: HEADER_BYTES, bytes: this.#tags.subarray(0, this.#tagCount) },
			{ at: valuesAt, bytes: new Uint8Array(this.#values.buffer, 0, this.#valueCount * VALUE_BYTES) },
		];
		for (const { at, bytes } of this.#small) pieces.push({ at: start + at, bytes });
		return { pieces, byteLength: start + this.#smallBytes, large: this.#large };
	}

	#object(state: Exclude<V86State, number | string | boolean | null | undefined>): void {
		// Before anything else is asked: whatever a proxy is asked is slow.
		const known = ArrayBuffer.isView(state) ? viewed(state) : this.#proxies.get(state);
		// A view of a memory that has grown has no bytes any more.
		if (known !== undefined && known.bytes.byteLength === known.byteLength) this.#array(state, known);
		else if (isList(state)) {
			this.#tag(Tag.list);
			this.#value(state.length);
			for (const each of state) this.put(each);
		} else if (isProxy(state)) {
			const asked = askProxy(state);
			this.#proxies.set(state, asked);
			this.#array(state, asked);
		} else if (isDevice(state)) this.put(state.get_state());
		else throw new GuestError("state", "v86 has put something unknown into its state");
	}

	#array(array: object, { kind, bytes, byteLength, memoryPage }: KnownArray): void {
		this.#tag(Tag.array + kind);
		if (byteLength >= LARGE_BYTES) {
			this.#value(this.#large.push({ bytes, memoryPage, unchanged: array === this.#unchanged }));
			this.#value(0);
		} else {
			this.#value(0);
			this.#value(this.#smallBytes);
			this.#small.push({ at: this.#smallBytes, bytes });
			this.#smallBytes += paddedTo8(byteLength);
		}
		this.#value(byteLength);
	}

	#text(text: string): void {
		this.#tag(Tag.text);
		this.#value(text.length);
		for (let at = 0; at < text.length; at++) this.#value(text.charCodeAt(at));
	}

	#number(value: number): void {
		this.#tag(Tag.number);
		this.#value(value);
	}

	#tag(tag: number): void {
		if (this.#tagCount === this.#tags.length) {
			const tags = new Uint8Array(this.#tags.length * 2);
			tags.set(this.#tags);
			this.#tags = tags;
		}
		this.#tags[this.#tagCount++] = tag;
	}

	#value(value: number): void {
		if (this.#valueCount === this.#values.length) {
			const values = new Float64Array(this.#values.length * 2);
			values.set(this.#values);
			this.#values = values;
		}
		this.#values[this.#valueCount++] = value;
	}
}

/**
 * What was put, in order, with fresh arrays: devices keep those that they are given.
 *
 * @param blocks - of a state, as they were read
 * @throws {GuestError} `state` for blocks that are none
 */
export function readValues(blocks: readonly Uint8Array<ArrayBuffer>[]): unknown[] {
	const [first] = blocks;
	if (first === undefined || first.byteLength < HEADER_BYTES)
		throw new GuestError("state", "device state ends too early");
	const [tagCount, valueCount] = new Uint32Array(first.buffer, first.byteOffset, 2);
	const valuesAt = HEADER_BYTES + paddedTo8(tagCount!);
	const start = valuesAt + valueCount! * VALUE_BYTES;
	if (start > first.byteLength) throw new GuestError("state", "device state ends too early");
	const tags = first.subarray(HEADER_BYTES, HEADER_BYTES + tagCount!);
	const values = new Float64Array(first.buffer, first.byteOffset + valuesAt, valueCount);
	const reader = new ValueReader(tags, values, [first.subarray(start), ...blocks.slice(1)]);
	const read: unknown[] = [];
	while (!reader.atEnd) read.push(reader.next());
	return read;
}

class ValueReader {
	readonly #tags: Uint8Array;
	readonly #values: Float64Array;
	readonly #blocks: readonly Uint8Array<ArrayBuffer>[];
	#tagAt = 0;
	#valueAt = 0;

	constructor(tags: Uint8Array, values: Float64Array, blocks: readonly Uint8Array<ArrayBuffer>[]) {
		this.#tags = tags;
		this.#values = values;
		this.#blocks = blocks;
	}

	get atEnd(): boolean {
		return this.#tagAt === this.#tags.length;
	}

	next(): unknown {
		const tag = this.#tags[this.#tagAt++];
		switch (tag) {
			case Tag.null:
				return null;
			case Tag.true:
				return true;
			case Tag.false:
				return false;
			case Tag.number:
				return this.#value();
			case Tag.list:
				return Array.from({ length: this.#count(this.#tags.length - this.#tagAt) }, () => this.next());
			case Tag.text: {
				const codes = Array.from({ length: this.#count(this.#values.length) }, () => this.#value());
				return String.fromCharCode(...codes);
			}
			default:
				return readArray(tag === undefined ? -1 : tag - Tag.array, this.#blocks, {
					...{ block: this.#value(), at: this.#value(), byteLength: this.#value() },
				});
		}
	}

	#count(most: number): number {
		const count = this.#value();
		if (!Number.isInteger(count) || count < 0 || count > most)
			throw new GuestError("state", `device state: a list of ${count}`);
		return count;
	}

	#value(): number {
		const value = this.#values[this.#valueAt++];
		if (value === undefined) throw new GuestError("state", "device state: values are missing");
		return value;
	}
}

/** A fresh array out of a block. @throws {GuestError} `state` for one that is not there */
export function readArray(
	kind: number,
	blocks: readonly Uint8Array<ArrayBuffer>[],
	{ block, at, byteLength }: { readonly block: number; readonly at: number; readonly byteLength: number },
): ArrayBufferView {
	const [made, bytes] = [ARRAYS[kind], blocks[block]];
	if (made === undefined || bytes === undefined || !(at >= 0 && byteLength >= 0 && at + byteLength <= bytes.byteLength))
		throw new GuestError("state", "device state: an array lies outside");
	return new made(bytes.slice(at, at + byteLength).buffer);
}

/** The kind of an array's class. */
export const kindOf = (name: string): number => ARRAYS.findIndex((array) => array.name === name);

const known = (kind: number | undefined, name: string): number => {
	if (kind === undefined || kind < 0) throw new GuestError("state", `v86 has put a ${name} into its state`);
	return kind;
};

function viewed(view: ArrayBufferView): KnownArray {
	const { buffer, byteOffset, byteLength } = view;
	const kind = known(KINDS.get(view.constructor), view.constructor.name);
	return { kind, bytes: new Uint8Array(buffer, byteOffset, byteLength), byteLength, memoryPage: undefined };
}

function askProxy(proxy: V86Numbers): KnownArray {
	const name = proxy.constructor.name.replace("bound ", "");
	const kind = known(kindOf(name), name);
	const { buffer, byteOffset, length, BYTES_PER_ELEMENT: elementBytes } = proxy;
	const byteLength = length * elementBytes;
	const inPages = byteOffset % PAGE_BYTES === 0 && byteLength % PAGE_BYTES === 0;
	const memoryPage = inPages ? byteOffset / PAGE_BYTES : undefined;
	return { kind, bytes: new Uint8Array(buffer, byteOffset, byteLength), byteLength, memoryPage };
}

/** Whether this is a proxy of an array: it follows v86's memory when that grows. */
function isProxy(state: object): state is V86Numbers {
	const { BYTES_PER_ELEMENT: elementBytes }: Partial<V86Numbers> = state;
	return elementBytes !== undefined;
}

const isList = (state: object): state is readonly V86State[] => Array.isArray(state);
const isDevice = (state: object): state is V86Device => "get_state" in state;

/** Where the next one may begin. */
export const paddedTo8 = (byteLength: number): number => Math.ceil(byteLength / 8) * 8;
