// Random WebAssembly programs that read and write memory under structured control flow: branches of all kinds, nested
// loops, exceptions, changed and unchanged address locals, constant addresses, accesses of every width that may cross pages, bulk
// copies, and calls to a host function. Every program ends: each loop header takes one unit of fuel.
import * as asm from "./assembler.ts";

/** Two functions of this many i32 locals each; local 0 and 1 are parameters. */
const LOCALS = 6;
const VECTOR_LOCAL = LOCALS;
const MEMORY_PAGES = 5;
export const GENERATED_MEMORY_BYTES: number = MEMORY_PAGES * 65536;
/** Addresses are kept below this, so that with any offset no access traps: 64 pages, of which few are touched. */
const ADDRESS_MASK = 0x3ffff;
const FUEL = 90;
/** Stores, sets, branches, calls and blocks, as `#statements` numbers them. */
const NARROW_STATEMENTS = [0, 0, 0, 0, 6, 8, 10, 10, 11, 12, 13, 13, 13, 13];

type Random = (below: number) => number;

export function randomFrom(seed: number): Random {
	let state = seed >>> 0;
	return (below) => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
	};
}

class Generator {
	readonly #random: Random;
	/** Few locals and offsets and much control flow: where what was known before a join would matter most. */
	readonly #narrow: boolean;
	/** For each open block: whether it is a loop. */
	readonly #open: boolean[] = [];

	constructor(random: Random) {
		this.#random = random;
		this.#narrow = random(3) > 0;
	}

	#pick<T>(choices: readonly T[]): T {
		return choices[this.#random(choices.length)]!;
	}

	#constant(value: number): number[] {
		const bytes: number[] = [];
		for (let rest = value | 0; ; rest >>= 7) {
			const last = (rest >= 0 && rest < 64) || (rest < 0 && rest >= -64);
			bytes.push((rest & 0x7f) | (last ? 0 : 0x80));
			if (last) return [0x41, ...bytes];
		}
	}

	#local(): number {
		return this.#random(this.#narrow ? 2 : LOCALS);
	}

	/** An address below the mask: a masked local, mostly one that keeps its value, or a constant. */
	#address(): number[] {
		const choice = this.#narrow ? this.#pick([2, 2, 2, 2, 2, 9]) : this.#random(10);
		if (choice < 2) return this.#constant(this.#random(ADDRESS_MASK));
		if (choice < 7) return [0x20, this.#local()];
		if (choice < 8) return [...this.#value(1), ...this.#constant(ADDRESS_MASK), 0x71];
		return [...this.#value(1), ...this.#constant(ADDRESS_MASK), 0x71, 0x22, this.#local()];
	}

	/** Offsets near each other and around page borders. */
	#offset(): number[] {
		if (this.#narrow) return asm.unsigned(this.#pick([0, 0, 16, 4000, 9000]));
		const offset = this.#pick([0, 4, 8, 4000, 4090, 4095, 4096, 8190, this.#random(60_000)]);
		return asm.unsigned(offset);
	}

	#value(depth: number): number[] {
		const choice = this.#random(depth > 3 ? 3 : 8);
		if (choice === 0) return this.#constant(this.#random(2 ** 31));
		if (choice < 3) return [0x20, this.#local()];
		if (choice < 5) return [...this.#address(), this.#pick([0x28, 0x2c, 0x2d, 0x2f]), 0, ...this.#offset()];
		if (choice === 5) return [...this.#value(depth + 1), ...this.#value(depth + 1), this.#pick([0x6a, 0x6b, 0x73])];
		if (choice === 6)
			return [
				...this.#value(depth + 1),
				...this.#pick([
					[0x10, 0],
					[...asm.constant(0), 0x11, 0, 0],
				]),
			];
		return [0x02, asm.I32, ...this.#value(depth + 1), ...this.#value(depth + 1), 0x0d, 0, 0x0b];
	}

	/** The next number of a counter: no two stores write the same value. */
	#fresh(): number[] {
		return [0x23, 0, ...this.#constant(0x01010307), 0x6a, 0x24, 0, 0x23, 0];
	}

	#store(): number[] {
		const address = this.#address();
		switch (this.#random(10)) {
			case 0:
				return [...address, ...this.#fresh(), 0xad, 0x37, 0, ...this.#offset()];
			case 1:
				return [...address, ...this.#fresh(), 0xfd, 17, 0xfd, 11, 0, ...this.#offset()];
			case 2:
				return [...address, 0x20, VECTOR_LOCAL, 0xfd, 91, 0, ...this.#offset(), 1];
			case 3:
				return [...address, ...this.#fresh(), this.#pick([0x3a, 0x3b]), 0, ...this.#offset()];
			case 4:
				return [...this.#aligned(address), ...this.#fresh(), 0xfe, 0x1e, 2, 0, 0x1a];
			case 5: {
				const expected = [...this.#aligned(this.#address()), 0x28, 2, 0];
				return [...this.#aligned(address), ...expected, ...this.#fresh(), 0xfe, 0x48, 2, 0, 0x1a];
			}
			case 6:
				return [...address, 0x20, VECTOR_LOCAL, 0xfd, 86, 0, ...this.#offset(), 2, 0x21, VECTOR_LOCAL];
			case 7:
				return [...address, ...this.#value(1), ...this.#fresh(), 0x6a, 0x36, 0, ...this.#offset()];
			default:
				return [...address, ...this.#fresh(), 0x36, 0, ...this.#offset()];
		}
	}

	/** Atomic accesses trap unless they are aligned. */
	#aligned(address: number[]): number[] {
		return [...address, ...this.#constant(-4), 0x71];
	}

	/** Sets a local to an address: the locals always hold one. */
	#set(): number[] {
		return [...this.#value(0), ...this.#constant(ADDRESS_MASK), 0x71, 0x21, this.#local()];
	}

	#bulk(): number[] {
		const [address, other] = [this.#address(), this.#address()];
		const length = this.#constant(this.#pick([0, 1, 16, 5000, 9000]));
		if (this.#random(2) === 0) return [...address, ...this.#fresh(), ...length, 0xfc, 11, 0];
		return [...address, ...other, ...length, 0xfc, 10, 0, 0];
	}

	#block(depth: number): number[] {
		const kind = this.#pick(["block", "loop", "if", "else", "try"] as const);
		this.#open.push(kind === "loop");
		const inner = () => this.#statements(depth + 1, 1 + this.#random(4));
		let code: number[];
		if (kind === "block") code = [0x02, 0x40, ...inner(), 0x0b];
		else if (kind === "loop") {
			const fuel = [0x23, 1, 0x45, 0x04, 0x40, 0x0f, 0x0b, 0x23, 1, 0x41, 1, 0x6b, 0x24, 1];
			code = [0x03, 0x40, ...fuel, ...inner(), ...this.#value(2), 0x0d, 0, 0x0b];
		} else if (kind === "try") code = [0x06, 0x40, ...inner(), ...this.#pick([[0x07, 0], [0x19]]), ...inner(), 0x0b];
		else {
			const first = [0x20, this.#local(), 0x41, 1, 0x71, 0x04, 0x40, ...inner()];
			code = kind === "if" ? [...first, 0x0b] : [...first, 0x05, ...inner(), 0x0b];
		}
		this.#open.pop();
		return code;
	}

	#branch(): number[] {
		if (this.#open.length === 0) return [];
		const label = this.#random(this.#open.length);
		const condition = [0x20, this.#local(), ...this.#constant(1 << this.#random(4)), 0x71];
		const choice = this.#random(8);
		// What stands behind an unconditional branch in the same block is dead; that, too, must come through.
		if (choice === 0) return [0x0c, label];
		if (choice === 1) return [...condition, 0x0e, 1, this.#random(this.#open.length), label];
		if (choice === 2) return [...condition, 0x04, 0x40, 0x0f, 0x0b];
		if (choice === 3) return [...condition, 0x04, 0x40, 0x08, 0, 0x0b];
		return [...condition, 0x0d, label];
	}

	#statements(depth: number, count: number): number[] {
		const code: number[] = [];
		for (let i = 0; i < count; i++) {
			const choice = this.#narrow ? this.#pick(NARROW_STATEMENTS) : this.#random(16);
			if (choice < 6) code.push(...this.#store());
			else if (choice < 8) code.push(...this.#value(0), 0x1a);
			else if (choice < 9) code.push(...this.#set());
			else if (choice < 10) code.push(...this.#bulk());
			else if (choice < 12) code.push(...this.#branch());
			else if (choice < 13) code.push(...this.#value(2), 0x10, 0, 0x1a);
			else if (depth < 4) code.push(...this.#block(depth));
		}
		return code;
	}

	/** Gives every local an address of its own, then does what there is to do. */
	body(): number[] {
		const addresses: number[] = [];
		for (let local = LOCALS - 1; local >= 0; local--)
			addresses.push(
				...[0x20, 0, ...this.#constant(2 * local + 3), 0x6c, 0x20, 1, 0x6a, ...this.#constant(local * 77_777), 0x6a],
				...[...this.#constant(ADDRESS_MASK), 0x71, 0x21, local],
			);
		return asm.body(
			[...addresses, ...this.#statements(0, this.#narrow ? 8 : 12)],
			[
				[LOCALS - 2, asm.I32],
				[1, asm.V128],
			],
		);
	}
}

/**
 * @returns a module that exports `run: (i32, i32) -> ()`, `call: (i32, i32) -> ()` and `memory`, and imports a host
 *   function `h.h: (i32) -> i32`
 */
export function generatedModule(seed: number): Uint8Array<ArrayBuffer> {
	const generator = new Generator(randomFrom(seed));
	const binary = [asm.I32, asm.I32];
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32], [asm.I32]), asm.functionType(binary), asm.functionType()),
		asm.section(asm.SECTION_IMPORT, [...asm.text("h"), ...asm.text("h"), 0, 0]),
		asm.section(asm.SECTION_FUNCTION, [1], [1]),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 1]),
		asm.section(asm.SECTION_MEMORY, [1, MEMORY_PAGES, MEMORY_PAGES]),
		asm.section(asm.SECTION_TAG, [0, 2]),
		asm.section(asm.SECTION_GLOBAL, [asm.I32, 1, ...asm.constant(0), 0x0b], [asm.I32, 1, ...asm.constant(FUEL), 0x0b]),
		asm.section(asm.SECTION_EXPORT, asm.exported("run", 0, 1), asm.exported("memory", 2, 0)),
		asm.section(asm.SECTION_ELEMENT, [0, ...asm.constant(0), 0x0b, ...asm.vector([0])]),
		asm.section(asm.SECTION_CODE, generator.body(), generator.body()),
	);
}
