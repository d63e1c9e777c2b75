// What every Store keeps, but survival: that is tested where there is a medium.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import { MAX_REFERENCE_BYTES, type Store, StoreError } from "../../../bindings/ports/store.ts";
import { failsWith, failureOf } from "./failures.ts";

/** A fresh store, seen through two openings of the same place. */
export interface TestStore {
	readonly store: Store;
	readonly other: Store;
	dispose(): Promise<void>;
}

const text = (value: string) => new TextEncoder().encode(value);
const shown = (value: Uint8Array | undefined) => (value === undefined ? undefined : new TextDecoder().decode(value));

const WRONG_NAMES = [
	"",
	".",
	"..",
	"a/..",
	"../a",
	"a/../b",
	"a/./b",
	"./a",
	"/a",
	"a/",
	"a//b",
	"a b",
	"a\\b",
	"a\0b",
	"a+b",
	"a@1",
	"a%2fb",
	"é",
	"a\n",
	"x".repeat(201),
];
const RIGHT_NAMES = [
	"a",
	"A-1_z",
	".hidden",
	"...",
	"a..b",
	"a/b/c.d",
	"..a/b..",
	"x".repeat(200),
	`${"y/".repeat(99)}zz`,
];

/** Adds the contract's tests to `test`. */
export function storeContract(test: ReturnType<typeof suite>, make: () => Promise<TestStore>): void {
	const check = (name: string, body: (made: TestStore) => Promise<void>) =>
		test(name, async () => {
			const made = await make();
			try {
				await body(made);
			} finally {
				await made.dispose();
			}
		});

	check("an object comes back as it was put, whole or in part, here and elsewhere", async ({ store, other }) => {
		const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => index * 7);
		await store.put("images/one", bytes);
		for (const place of [store, other]) {
			assert.equal(await place.get("images/one"), bytes);
			assert.equal(await place.get("images/one", { offset: 1000, byteLength: 5 }), bytes.slice(1000, 1005));
			assert.equal(await place.get("images/one", { offset: 299_990, byteLength: 100 }), bytes.slice(-10));
			assert.is((await place.get("images/one", { offset: 300_000, byteLength: 10 })).byteLength, 0);
			assert.is((await place.get("images/one", { offset: 2 ** 40, byteLength: 10 })).byteLength, 0);
			assert.is((await place.get("images/one", { offset: 5, byteLength: 0 })).byteLength, 0);
		}
		await store.put("empty", new Uint8Array(0));
		assert.is((await other.get("empty")).byteLength, 0);
	});

	check("the store keeps its own copy, and hands out copies", async ({ store }) => {
		const bytes = text("first");
		await store.put("object", bytes);
		bytes.fill(0);
		(await store.get("object")).fill(0);
		assert.is(shown(await store.get("object")), "first");
		const value = text("value");
		assert.ok(await store.compareAndSetReference("reference", undefined, value));
		value.fill(0);
		(await store.readReference("reference"))?.fill(0);
		assert.is(shown(await store.readReference("reference")), "value");
	});

	check("an object never changes: the same bytes may come again, others are refused", async ({ store, other }) => {
		await store.put("object", text("bytes"));
		await other.put("object", text("bytes"));
		for (const bytes of ["BYTES", "byte", "bytes and more", ""])
			await failsWith(StoreError, "exists", other.put("object", text(bytes)));
		assert.is(shown(await store.get("object")), "bytes");
	});

	check("of many writers of one name exactly those with the winner's bytes succeed", async ({ store, other }) => {
		const puts = await Promise.all(
			Array.from({ length: 20 }, (_, index) => {
				const mine = `writer ${index % 4}`;
				return (index % 2 === 0 ? store : other).put("contested", text(mine)).then(
					() => mine,
					(error: unknown) => {
						assert.instance(error, StoreError);
						return undefined;
					},
				);
			}),
		);
		const kept = shown(await store.get("contested"));
		const winners = puts.filter((mine) => mine !== undefined);
		assert.is(winners.length, 5);
		assert.ok(winners.every((mine) => mine === kept));
	});

	check("a missing object is missing, and removing it is no error", async ({ store }) => {
		await failsWith(StoreError, "missing", store.get("nothing"));
		await failsWith(StoreError, "missing", store.get("nothing", { offset: 0, byteLength: 1 }));
		await store.delete("nothing");
		await store.put("something", text("a"));
		await store.delete("something");
		await failsWith(StoreError, "missing", store.get("something"));
		await store.put("something", text("b"));
		assert.is(shown(await store.get("something")), "b");
	});

	check("a list has the names with its prefix, sorted, and nothing else", async ({ store, other }) => {
		for (const name of ["b/2", "a", "b/10", "b", "bb", "b/1/x"]) await store.put(name, text(name));
		assert.ok(await store.compareAndSetReference("b/reference", undefined, text("1")));
		assert.equal(await other.list(""), ["a", "b", "b/1/x", "b/10", "b/2", "bb"]);
		assert.equal(await other.list("b/"), ["b/1/x", "b/10", "b/2"]);
		assert.equal(await other.list("b/1"), ["b/1/x", "b/10"]);
		assert.equal(await other.list("../"), []);
		assert.equal(await other.listReferences(""), ["b/reference"]);
		assert.equal(await other.listReferences("c"), []);
	});

	check("an object and a reference of one name are two things, and so are a and a/b", async ({ store }) => {
		await store.put("a", text("object a"));
		await store.put("a/b", text("object a/b"));
		assert.ok(await store.compareAndSetReference("a", undefined, text("reference a")));
		assert.ok(await store.compareAndSetReference("a/b", undefined, text("reference a/b")));
		assert.is(shown(await store.get("a")), "object a");
		assert.is(shown(await store.get("a/b")), "object a/b");
		assert.is(shown(await store.readReference("a")), "reference a");
		assert.is(shown(await store.readReference("a/b")), "reference a/b");
	});

	check("a reference moves only from the value that the caller has seen", async ({ store, other }) => {
		assert.is(await store.readReference("head"), undefined);
		assert.not.ok(await store.compareAndSetReference("head", text("1"), text("2")));
		assert.ok(await store.compareAndSetReference("head", undefined, text("1")));
		assert.not.ok(await other.compareAndSetReference("head", undefined, text("2")));
		assert.not.ok(await other.compareAndSetReference("head", text("0"), text("2")));
		assert.not.ok(await other.compareAndSetReference("head", text("11"), text("2")));
		assert.is(shown(await other.readReference("head")), "1");
		assert.ok(await other.compareAndSetReference("head", text("1"), text("2")));
		assert.is(shown(await store.readReference("head")), "2");
		assert.ok(await store.compareAndSetReference("head", text("2"), text("2")), "to the same value");
	});

	check("a reference can be removed and made again", async ({ store, other }) => {
		assert.ok(await store.compareAndSetReference("head", undefined, undefined), "there is nothing to remove");
		for (const round of ["1", "2", "3"]) {
			assert.ok(await store.compareAndSetReference("head", undefined, text(round)));
			assert.not.ok(await other.compareAndSetReference("head", text("other"), undefined));
			assert.equal(await other.listReferences(""), ["head"]);
			assert.ok(await other.compareAndSetReference("head", text(round), undefined));
			assert.is(await store.readReference("head"), undefined);
			assert.equal(await store.listReferences(""), []);
			assert.not.ok(await other.compareAndSetReference("head", text(round), undefined));
		}
	});

	check("a reference holds any bytes, none and the most it may", async ({ store, other }) => {
		const most = Uint8Array.from({ length: MAX_REFERENCE_BYTES }, (_, index) => index);
		assert.ok(await store.compareAndSetReference("head", undefined, new Uint8Array(0)));
		assert.is((await other.readReference("head"))?.byteLength, 0);
		assert.not.ok(await store.compareAndSetReference("head", undefined, most), "an empty value is a value");
		assert.ok(await other.compareAndSetReference("head", new Uint8Array(0), most));
		assert.equal(await store.readReference("head"), most);
		const tooMuch = new Uint8Array(MAX_REFERENCE_BYTES + 1);
		assert.match(String(await failureOf(store.compareAndSetReference("head", most, tooMuch))), /RangeError: next/);
		assert.equal(await other.readReference("head"), most);
	});

	check("of many that move one reference from the same value exactly one succeeds", async ({ store, other }) => {
		for (let round = 0; round < 10; round++) {
			const before = round === 0 ? undefined : await store.readReference("head");
			const moves = await Promise.all(
				Array.from({ length: 12 }, (_, index) =>
					(index % 2 === 0 ? store : other).compareAndSetReference("head", before, text(`${round}/${index}`)),
				),
			);
			assert.is(moves.filter((won) => won).length, 1, `round ${round}`);
			assert.is(shown(await store.readReference("head")), `${round}/${moves.indexOf(true)}`);
		}
	});

	check("a name that is none is refused by every call, and cannot lead out of the store", async ({ store }) => {
		for (const name of WRONG_NAMES) {
			const calls = [
				store.put(name, text("x")),
				store.get(name),
				store.delete(name),
				store.readReference(name),
				store.compareAndSetReference(name, undefined, text("x")),
			];
			for (const call of calls) {
				const error = await failureOf(call);
				assert.instance(error, RangeError);
				assert.match(String(error), /name/);
			}
		}
		assert.equal(await store.list(""), []);
		assert.equal(await store.listReferences(""), []);
	});

	check("every name of the allowed form works", async ({ store, other }) => {
		for (const name of RIGHT_NAMES) {
			await store.put(name, text(name));
			assert.ok(await store.compareAndSetReference(name, undefined, text(name)), name);
		}
		assert.equal(await other.list(""), [...RIGHT_NAMES].sort());
		assert.equal(await other.listReferences(""), [...RIGHT_NAMES].sort());
		for (const name of RIGHT_NAMES) assert.is(shown(await other.get(name)), name);
	});

	check("a meaningless range is refused by name", async ({ store }) => {
		await store.put("object", text("x"));
		for (const range of [
			{ offset: -1, byteLength: 1 },
			{ offset: 0, byteLength: -1 },
			{ offset: 0.5, byteLength: 1 },
			{ offset: 0, byteLength: Number.NaN },
		])
			assert.match(String(await failureOf(store.get("object", range))), /RangeError: range\./);
	});
}
