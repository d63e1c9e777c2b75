// A WebAssembly module as its sections, for a change in one function of a module of megabytes without decoding the rest.
// Source: WebAssembly Core Specification 2.0, section 5.5 (modules in binary format).

/** Ids of the sections that are read or changed here. */
export const SectionId = { custom: 0, type: 1, import: 2, function: 3, global: 6, export: 7, code: 10 } as const;

/** One section: its id and its content. */
export interface Section {
	readonly id: number;
	readonly content: Uint8Array;
}

const HEADER_BYTES = 8;

/** An unsigned number in LEB128. */
export function unsigned(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	do {
		const low = rest & 0x7f;
		rest >>>= 7;
		bytes.push(rest === 0 ? low : low | 0x80);
	} while (rest !== 0);
	return bytes;
}

/** A signed 32-bit number in LEB128. */
export function signed(value: number): number[] {
	const bytes: number[] = [];
	for (let rest = value; ; ) {
		const low = rest & 0x7f;
		rest >>= 7;
		if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
		bytes.push(low | 0x80);
	}
}

/** Reads numbers, names and bytes one after another. */
export class SectionReader {
	readonly #bytes: Uint8Array;
	#at: number;

	constructor(bytes: Uint8Array, at = 0) {
		this.#bytes = bytes;
		this.#at = at;
	}

	get at(): number {
		return this.#at;
	}

	get atEnd(): boolean {
		return this.#at >= this.#bytes.length;
	}

	byte(): number {
		const byte = this.#bytes[this.#at++];
		if (byte === undefined) throw new RangeError("the module ends too early");
		return byte;
	}

	unsigned(): number {
		let value = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = this.byte();
			value |= (byte & 0x7f) << shift;
			if ((byte & 0x80) === 0) return value >>> 0;
		}
	}

	take(byteLength: number): Uint8Array {
		if (this.#at + byteLength > this.#bytes.length) throw new RangeError("the module ends too early");
		this.#at += byteLength;
		return this.#bytes.subarray(this.#at - byteLength, this.#at);
	}

	name(): string {
		return new TextDecoder().decode(this.take(this.unsigned()));
	}
}

/** @throws RangeError when the bytes end too early */
export function readSections(module: Uint8Array): Section[] {
	const reader = new SectionReader(module, HEADER_BYTES);
	const sections: Section[] = [];
	while (!reader.atEnd) {
		const id = reader.byte();
		sections.push({ id, content: reader.take(reader.unsigned()) });
	}
	return sections;
}

/** The module of these sections. */
export function writeSections(module: Uint8Array, sections: readonly Section[]): Uint8Array<ArrayBuffer> {
	const parts = [module.subarray(0, HEADER_BYTES)];
	for (const { id, content } of sections) parts.push(Uint8Array.from([id, ...unsigned(content.length)]), content);
	return joined(parts);
}

/** These bytes, one after another. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}

/** A vector section with more entries at its end. */
export function appended(section: Section, entries: readonly (readonly number[])[]): Section {
	const reader = new SectionReader(section.content);
	const count = reader.unsigned();
	const rest = section.content.subarray(reader.at);
	const more = entries.map((entry) => Uint8Array.from(entry));
	return {
		id: section.id,
		content: joined([Uint8Array.from(unsigned(count + entries.length)), rest, ...more]),
	};
}

/** How many entries a vector section has. */
export function entryCount(section: Section): number {
	return new SectionReader(section.content).unsigned();
}
