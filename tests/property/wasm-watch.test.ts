// Random programs under watched code, against the same programs as they are: no write goes unmarked, no access reads a
// page that has not arrived, and nothing else changes.
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MarkedPages } from "../../bindings/guests/wasm/marked-pages.ts";
import { MissingMap } from "../../bindings/guests/wasm/missing-map.ts";
import { WATCHED } from "../../bindings/guests/wasm/module/instrument.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { type RewriteOptions, rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import { callback } from "../wasm/callback.ts";
import { GENERATED_MEMORY_BYTES, generatedModule, randomFrom } from "../wasm/generated.ts";

const PAGE_BYTES = 4096;
const test = suite("watched wasm programs");

interface Program {
	readonly run: (first: number, second: number) => void;
	readonly memory: WebAssembly.Memory;
}

function instantiate(bytes: Uint8Array, host: (value: number) => number): [Program, WebAssembly.Exports] {
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), { h: { h: host } });
	return [exports as unknown as Program, exports];
}

const hostValue = (value: number) => (Math.imul(value, 31) + 7) & 0xffff;

/** What the memory holds before a program runs. */
const random = randomFrom(1);
const contents = Uint8Array.from({ length: GENERATED_MEMORY_BYTES }, () => random(256));

function run(seed: number, program: Program): void {
	const draw = randomFrom(seed ^ 0x5bd1e995);
	for (let call = 0; call < 3; call++)
		try {
			program.run(draw(2 ** 31), draw(2 ** 31));
		} catch (error) {
			// An exception that the program throws and does not catch is its own affair; a trap is not.
			if (error instanceof Error) throw error;
		}
}

/** @returns memory after the program, run as it is */
function undisturbed(seed: number): Uint8Array {
	const [program] = instantiate(generatedModule(seed), hostValue);
	const memory = new Uint8Array(program.memory.buffer);
	memory.set(contents);
	run(seed, program);
	return memory;
}

/** @returns the first place where two memories differ, or -1 */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
	if (Buffer.compare(a, b) === 0) return -1;
	return a.findIndex((byte, i) => byte !== b[i]);
}

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const RUNS = 400;

function writesAreMarked(seed: number, options: RewriteOptions): void {
	let marked: MarkedPages;
	let shadow: Uint8Array;
	const memory = () => new Uint8Array(program.memory.buffer);
	const harvest = () => {
		const pages = new Set(marked.harvest(memory()));
		const now = memory();
		if (Buffer.compare(now, shadow) === 0) return;
		for (let start = 0; start < now.length; start += PAGE_BYTES) {
			const page = now.subarray(start, start + PAGE_BYTES);
			const at = firstDifference(page, shadow.subarray(start, start + PAGE_BYTES));
			assert.ok(at < 0 || pages.has(start / PAGE_BYTES), `byte ${at} of page ${start / PAGE_BYTES} was not marked`);
		}
		shadow.set(now);
	};
	const host = (value: number) => {
		harvest();
		return hostValue(value);
	};
	const rewritten = rewriteModule(generatedModule(seed), options);
	const [program, exports] = instantiate(rewritten.bytes, host);
	memory().set(contents);
	shadow = memory().slice();
	marked = new MarkedPages(exports[WATCHED.map] as WebAssembly.Memory, shadow);
	run(seed, program);
	harvest();
	assert.is(firstDifference(memory(), undisturbed(seed)), -1, "the program did something else");
}

function pagesArrive(seed: number, options: RewriteOptions): number {
	const { bytes } = rewriteModule(generatedModule(seed), options);
	const [program, exports] = instantiate(bytes, hostValue);
	const memory = new Uint8Array(program.memory.buffer);
	const pageCount = memory.length / PAGE_BYTES;
	const map = exports[WATCHED.map] as WebAssembly.Memory;
	const missing = new MissingMap(map, new Uint8Array(pageCount / 8 + 1).fill(0xff), pageCount);
	// What has not arrived holds rubbish, so that reading it too early shows.
	memory.fill(0xee);
	const place = (pageIndex: number) => {
		const start = pageIndex * PAGE_BYTES;
		memory.set(contents.subarray(start, start + PAGE_BYTES), start);
		missing.arrived(pageIndex);
		missing.touch(pageIndex);
	};
	let faults = 0;
	(exports[WATCHED.arrive] as WebAssembly.Table).set(
		0,
		callback((pageIndex) => {
			faults++;
			const wanted = missing.has(pageIndex) ? pageIndex : pageIndex + 1;
			assert.ok(missing.has(wanted), `page ${pageIndex} was waited for, and all it needs is there`);
			place(wanted);
		}),
	);
	run(seed, program);
	for (let pageIndex = 0; pageIndex < pageCount; pageIndex++) if (missing.has(pageIndex)) place(pageIndex);
	assert.is(missing.remaining, 0);
	const at = firstDifference(memory, undisturbed(seed));
	assert.is(at, -1, `byte ${at % PAGE_BYTES} of page ${Math.floor(at / PAGE_BYTES)} differs`);
	return faults;
}

if (supportsInstrumentation()) {
	test("every write is marked, also when the host harvests in the middle of a call", () => {
		fc.assert(
			fc.property(seeds, (seed) => writesAreMarked(seed, { trackWrites: true })),
			{ numRuns: RUNS },
		);
	});

	test("every access waits for its page, and no page is overwritten after it was there", () => {
		let faults = 0;
		fc.assert(
			fc.property(seeds, (seed) => {
				faults += pagesArrive(seed, { checkPresence: true });
			}),
			{ numRuns: RUNS },
		);
		assert.ok(faults > RUNS, `${faults} faults`);
	});

	test("both together do what each does", () => {
		const both = { trackWrites: true, checkPresence: true };
		fc.assert(
			fc.property(seeds, (seed) => {
				writesAreMarked(seed, both);
				pagesArrive(seed, both);
			}),
			{ numRuns: RUNS / 2 },
		);
	});
} else {
	test("an engine without a second memory refuses watched code with the reason", () => {
		for (const options of [{ trackWrites: true }, { checkPresence: true }])
			assert.throws(() => rewriteModule(generatedModule(1), options), /second memory.*Node 22/);
	});
}

test.run();
