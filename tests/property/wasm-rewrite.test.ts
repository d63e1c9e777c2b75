// Damage anywhere in real modules: never anything but a typed refusal or a module, and what the engine takes as valid
// before is valid after.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmModuleError } from "../../bindings/guests/wasm/module/errors.ts";
import { rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import { programBytes } from "../wasm/programs.ts";

const test = suite("damaged wasm modules");

const PROGRAMS = (["lua", "roaring", "xxhash"] as const).map(programBytes);

/** @returns the rewritten module or the typed refusal; anything else fails */
function rewriteOrRefuse(bytes: Uint8Array): Uint8Array | WasmModuleError {
	try {
		return rewriteModule(bytes).bytes;
	} catch (error) {
		if (error instanceof WasmModuleError) return error;
		throw error;
	}
}

/** A valid module stays valid, or is refused for what it is, not as damaged. */
function checkValid(original: Uint8Array, result: Uint8Array | WasmModuleError): void {
	if (result instanceof WasmModuleError)
		assert.ok(result.code !== "malformed" && result.code !== "limit", `${result.code}: ${result.message}`);
	else assert.ok(WebAssembly.validate(Uint8Array.from(result)), `${original.length} bytes`);
}

const program = fc.constantFrom(...PROGRAMS);

test("a module cut off anywhere is refused or valid", () => {
	fc.assert(
		fc.property(program, fc.double({ min: 0, max: 1, noNaN: true }), (bytes, fraction) => {
			const cut = bytes.subarray(0, Math.floor(bytes.length * fraction));
			const result = rewriteOrRefuse(cut);
			if (WebAssembly.validate(Uint8Array.from(cut))) checkValid(cut, result);
		}),
		{ numRuns: 300 },
	);
});

test("bytes changed anywhere give a refusal or a rewritten module that is valid where the damaged one was", () => {
	const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 }));
	// The first half of the places is drawn to the head of the file, where counts and lengths are.
	const changes = fc.array(fc.tuple(change, fc.boolean()), { minLength: 1, maxLength: 4 });
	let stillValid = 0;
	fc.assert(
		fc.property(program, changes, (bytes, places) => {
			const damaged = bytes.slice();
			for (const [[fraction, value], head] of places)
				damaged[Math.floor((head ? Math.min(bytes.length, 4096) : bytes.length) * fraction * 0.9999)] = value;
			const result = rewriteOrRefuse(damaged);
			if (!WebAssembly.validate(damaged)) return;
			stillValid++;
			checkValid(damaged, result);
		}),
		{ numRuns: 400 },
	);
	assert.ok(stillValid > 0, "some damage keeps a module valid");
});

test("any bytes behind a module's head are refused or valid", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (content) => {
			const bytes = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...content]);
			const result = rewriteOrRefuse(bytes);
			if (WebAssembly.validate(bytes)) checkValid(bytes, result);
		}),
		{ numRuns: 2000 },
	);
});

test.run();
