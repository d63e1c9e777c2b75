// What every store that takes objects in pieces keeps, beside the contract of stores.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import { StoreError } from "../../../bindings/ports/store.ts";
import { isPiecewise, type PiecewiseStore } from "../../../bindings/ports/store-pieces.ts";
import { failsWith } from "./failures.ts";
import type { TestStore } from "./store.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** Adds the tests to `test`. */
export function storePiecesContract(test: ReturnType<typeof suite>, make: () => Promise<TestStore>): void {
	const check = (name: string, body: (store: PiecewiseStore, other: PiecewiseStore) => Promise<void>) =>
		test(name, async () => {
			const { store, other, dispose } = await make();
			try {
				if (!isPiecewise(store) || !isPiecewise(other)) throw new TypeError("this store takes no pieces");
				await body(store, other);
			} finally {
				await dispose();
			}
		});

	check("an object that comes in pieces is there once it is finished, and not before", async (store, other) => {
		const bytes = Uint8Array.from({ length: 20_000_003 }, (_, index) => (index * 2_654_435_761) >>> 13);
		const writer = await store.create("large/one");
		for (let at = 0; at < bytes.byteLength; at += 1_000_000) {
			await writer.write(bytes.subarray(at, at + 1_000_000));
			assert.equal(await other.list(""), []);
		}
		const read = new Uint8Array(10);
		assert.is(await writer.readInto(19_999_999, read), 4);
		assert.equal(read.subarray(0, 4), bytes.subarray(19_999_999));
		await writer.finish();
		assert.equal(await other.list(""), ["large/one"]);
		const found = await other.get("large/one");
		assert.ok(found.byteLength === bytes.byteLength && found.every((byte, index) => byte === bytes[index]));
	});

	check("pieces that are given without waiting lie in the order in which they were given", async (store) => {
		const writer = await store.create("object");
		await Promise.all(Array.from({ length: 100 }, (_, piece) => writer.write(text(`${piece} `))));
		await writer.finish();
		const expected = Array.from({ length: 100 }, (_, piece) => `${piece} `).join("");
		assert.is(new TextDecoder().decode(await store.get("object")), expected);
	});

	check("an object may have no bytes", async (store) => {
		await (await store.create("empty")).finish();
		assert.is((await store.get("empty")).byteLength, 0);
	});

	check("an object that is given up leaves nothing, and its name is free", async (store, other) => {
		const writer = await store.create("object");
		await writer.write(text("half"));
		await writer.abort();
		await writer.abort();
		assert.equal(await other.list(""), []);
		assert.ok(
			await writer.write(text("more")).then(
				() => false,
				(error: unknown) => error instanceof TypeError,
			),
		);
		await other.put("object", text("whole"));
	});

	check("the same bytes may come again in pieces, others are refused", async (store, other) => {
		await other.put("object", text("bytes"));
		for (const [pieces, isRefused] of [
			[["by", "tes"], false],
			[["by", "te"], true],
			[["BY", "TES"], true],
			[["by", "tes", "!"], true],
		] as const) {
			const writer = await store.create("object");
			for (const piece of pieces) await writer.write(text(piece));
			if (isRefused) await failsWith(StoreError, "exists", writer.finish());
			else await writer.finish();
			await writer.abort();
			assert.is(new TextDecoder().decode(await other.get("object")), "bytes");
		}
	});

	check("an open object is read into the caller's memory, several reads at once", async (store, other) => {
		const bytes = Uint8Array.from({ length: 3_000_000 }, (_, index) => index * 7);
		await store.put("object", bytes);
		const reader = await other.openObject("object");
		assert.is(reader.byteLength, bytes.byteLength);
		// A part of a larger memory, as an engine's is.
		const memory = new Uint8Array(new WebAssembly.Memory({ initial: 64 }).buffer);
		await Promise.all(
			Array.from({ length: 10 }, async (_, i) => {
				const at = i * 299_993;
				assert.is(await reader.readInto(at, memory.subarray(at, at + 299_993)), 299_993);
			}),
		);
		assert.ok(bytes.subarray(0, 2_999_930).every((byte, index) => byte === memory[index]));
		assert.is(await reader.readInto(2_999_999, memory.subarray(0, 5)), 1);
		assert.is(await reader.readInto(3_000_000, memory.subarray(0, 5)), 0);
		await store.delete("object");
		assert.is(await reader.readInto(0, memory.subarray(0, 5)), 5, "an open object stays whole");
		await reader.close();
	});

	check("a missing object cannot be opened, and wrong names are refused", async (store) => {
		await failsWith(StoreError, "missing", store.openObject("nothing"));
		for (const open of [() => store.openObject("../a"), () => store.create("a//b")])
			assert.ok(
				await open().then(
					() => false,
					(error: unknown) => error instanceof RangeError,
				),
			);
	});
}
