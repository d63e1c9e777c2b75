import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MAX_CONTROL_BYTES } from "../../bindings/wire/limits.ts";
import { RECORD_TYPES, type RecordName } from "../../bindings/wire/record-types.ts";
import { decodeRecord } from "../../bindings/wire/records.ts";
import { WireError } from "../../bindings/wire/wire-error.ts";

const test = suite("hostile records");

const JSON_RECORDS = (Object.keys(RECORD_TYPES) as RecordName[]).filter(
	(name) => name !== "batch" && name !== "state" && name !== "resource",
);

/** Decodes; a WireError is as good as a record, anything else comes out. */
function survives(name: RecordName, payload: Uint8Array<ArrayBuffer>): WireError | undefined {
	try {
		decodeRecord({ type: RECORD_TYPES[name], payload, checksum: 0n });
		return undefined;
	} catch (error) {
		if (error instanceof WireError) return error;
		throw error;
	}
}

function text(value: string): Uint8Array<ArrayBuffer> {
	return new TextEncoder().encode(value);
}

test("JSON that is deep, wide or long to the limit is read or refused, and nothing else happens", () => {
	const deep = MAX_CONTROL_BYTES / 2;
	const bombs = [
		"[".repeat(deep) + "]".repeat(deep),
		`{"pageCount":${"[".repeat(deep - 10)}${"]".repeat(deep - 10)}}`,
		`${'{"a":'.repeat(9000)}1${"}".repeat(9000)}`,
		`{${Array.from({ length: 6000 }, (_, i) => `"${i}":0`).join(",")}}`,
		`{"pageCount":${"9".repeat(60_000)}}`,
		`{"pageCount":1e${"9".repeat(100)}}`,
		`{"message":"${"\\u0000".repeat(10_000)}","code":"x"}`,
		`{"moveId":"${"a".repeat(60_000)}"}`,
		`{"toString":1,"hasOwnProperty":1,"constructor":{},"__proto__":{"pageCount":1}}`,
	];
	for (const bomb of bombs) {
		assert.ok(bomb.length <= MAX_CONTROL_BYTES, bomb.slice(0, 20));
		for (const name of JSON_RECORDS) survives(name, text(bomb));
	}
	assert.is(survives("layout", text(bombs[0]!))?.code, "malformed");
	assert.is(survives("layout", text(bombs[4]!))?.code, "out-of-range");
});

test("lists and maps that are too long are refused", () => {
	const hashes = Array.from({ length: 900 }, (_, i) => i.toString(16).padStart(64, "0"));
	assert.is(
		survives("welcome", text(JSON.stringify({ protocol: 1, missing: hashes, windowBytes: 65536 })))?.field,
		"missing",
	);
});

test("every value of every type in every place of a hello is read or refused by name", () => {
	const layout = {
		kind: "wasm",
		pageBytes: 4096,
		pageCount: 1,
		maximumPageCount: 2,
		resources: [{ name: "p", hash: "0".repeat(64), byteLength: 1 }],
		facts: { a: "b" },
	};
	const hello = {
		protocol: { min: 1, max: 1 },
		intent: "move",
		moveId: "m",
		technique: "pre-copy",
		verification: "full",
		layout,
		windowBytes: 65536,
	};
	assert.is(survives("hello", text(JSON.stringify(hello))), undefined);
	const poisons = [null, true, -1, 1.5, 2 ** 53, 1e300, "", "x\u0000", [], {}, [[]], { length: 1 }, "é".repeat(5000)];
	const walk = (value: unknown, replace: (poison: unknown) => unknown): void => {
		for (const poison of poisons) survives("hello", text(JSON.stringify(replace(poison))));
		if (typeof value !== "object" || value === null) return;
		for (const key of Object.keys(value)) {
			const copy = (poison: unknown) => {
				const changed = Array.isArray(value) ? [...value] : { ...value };
				(changed as { [key: string]: unknown })[key] = poison;
				return replace(changed);
			};
			walk((value as { [key: string]: unknown })[key], copy);
		}
	};
	walk(hello, (poison) => poison);
});

test.run();
