// Encoded instance state against what was encoded, and damage to it.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type GlobalState, type InstanceState, InstanceStateError } from "../../bindings/guests/wasm/instance-state.ts";
import { decodeInstanceState, encodeInstanceState } from "../../bindings/guests/wasm/instance-state-format.ts";
import type { ModuleLayout } from "../../bindings/guests/wasm/module/layout.ts";

const test = suite("encoded wasm instance state");

const FUNCTIONS = 5000;
const TYPES = ["i32", "i64", "f32", "f64", "v128", "funcref"] as const;

const bits32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const bits64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const entry = fc.oneof(fc.constantFrom(-1, -2), fc.integer({ min: 0, max: FUNCTIONS - 1 }));

function globalState(type: (typeof TYPES)[number]): fc.Arbitrary<GlobalState> {
	switch (type) {
		case "i32":
		case "f32":
			return bits32.map((bits) => ({ type, bits }));
		case "i64":
		case "f64":
			return bits64.map((bits) => ({ type, bits }));
		case "v128":
			return fc.tuple(bits64, bits64).map(([low, high]) => ({ type, low, high }));
		case "funcref":
			return entry.map((value) => ({ type: "reference", entry: value }));
	}
}

const globalsOfTypes = fc
	.array(fc.constantFrom(...TYPES), { maxLength: 8 })
	.chain((types) => fc.tuple(fc.constant(types), fc.tuple(...types.map(globalState))));
const runs = fc.array(fc.tuple(entry, fc.integer({ min: 1, max: 40 })), { maxLength: 20 });
const table = runs.map((pieces) => Int32Array.from(pieces.flatMap(([value, times]) => new Array(times).fill(value))));
const segments = fc.uniqueArray(fc.nat(99), { maxLength: 10 }).map((list) => list.sort((a, b) => a - b));

const moduleAndState = fc
	.tuple(globalsOfTypes, fc.array(table, { maxLength: 3 }), segments, segments)
	.map(([[types, globals], tables, droppedData, droppedElements]) => {
		const hundred = Array.from({ length: 100 }, (_, i) => i);
		const layout: ModuleLayout = {
			memory: { minimumPages: 1, maximumPages: null, imported: null },
			globals: types.map((type, index) => ({ index, type, imported: null })),
			tables: tables.map((_, index) => ({
				index,
				type: "funcref",
				minimumLength: 0,
				maximumLength: 2000,
				imported: null,
			})),
			functionCount: FUNCTIONS,
			reachableFunctions: [],
			droppableData: hundred,
			droppableElements: hundred,
			startFunction: null,
			imports: [],
			exports: [],
		};
		const state: InstanceState = { globals, tables, droppedData, droppedElements };
		return { layout, state };
	});

test("state comes back as it was encoded", () => {
	fc.assert(
		fc.property(moduleAndState, ({ layout, state }) => {
			assert.equal(decodeInstanceState(encodeInstanceState(state), layout), state);
		}),
		{ numRuns: 500 },
	);
});

test("damaged state is refused or is other state of the same shape", () => {
	fc.assert(
		fc.property(moduleAndState, fc.nat(), fc.nat(255), fc.nat(), ({ layout, state }, place, value, cut) => {
			const bytes = encodeInstanceState(state);
			bytes[place % bytes.length] = value;
			try {
				const decoded = decodeInstanceState(bytes.subarray(0, 1 + (cut % (2 * bytes.length))), layout);
				assert.is(decoded.globals.length, layout.globals.length);
				assert.is(decoded.tables.length, layout.tables.length);
			} catch (error) {
				assert.instance(error, InstanceStateError, `${error}`);
			}
		}),
		{ numRuns: 1000 },
	);
});

test.run();
