// XXH3 against vectors of the reference library (tests/vectors/xxh3.json says how they were made).
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { Hasher128, hash64, hash128, PageHasher } from "../../bindings/engine/hash.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import reference from "../vectors/xxh3.json" with { type: "json" };

const test = suite("engine hash");
const engine = createEngine();
const vectors = reference.vectors as [byteLength: number, hash64: string, hash128: string][];

/** The input of the vectors. */
const input = Uint8Array.from({ length: 2_000_003 }, (_, i) => (Math.imul(i, 2654435761) >>> 24) ^ (i >> 8));

/** A hash in xxHash's canonical form, which is big-endian. */
const canonical = (hash: Uint8Array) =>
	[...hash]
		.reverse()
		.map((byte) => byte.toString(16).padStart(2, "0"))
		.join("");

test("XXH3-64 and XXH3-128 equal the reference library at every length", () => {
	assert.ok(vectors.length > 280);
	for (const [byteLength, expected64, expected128] of vectors) {
		const bytes = input.subarray(0, byteLength);
		assert.is(hash64(engine, bytes).toString(16).padStart(16, "0"), expected64, `64 bits of ${byteLength} bytes`);
		assert.is(canonical(hash128(engine, bytes)), expected128, `128 bits of ${byteLength} bytes`);
	}
});

test("the streaming hash equals the reference library at every length, whatever the pieces", () => {
	const hasher = new Hasher128(engine);
	for (const [byteLength, , expected] of vectors) {
		for (const piece of [1000, 64, 256]) {
			hasher.reset();
			for (let at = 0; at < byteLength; at += piece)
				hasher.update(input.subarray(at, Math.min(at + piece, byteLength)));
			assert.is(canonical(hasher.digest()), expected, `${byteLength} bytes in pieces of ${piece}`);
		}
	}
});

test("a digest in between does not disturb the stream", () => {
	const hasher = new Hasher128(engine);
	hasher.update(input.subarray(0, 5000));
	assert.equal(hasher.digest(), hash128(engine, input.subarray(0, 5000)));
	hasher.update(input.subarray(5000, 5030));
	assert.equal(hasher.digest(), hash128(engine, input.subarray(0, 5030)));
});

test("page hashes equal the reference vector of 4096 bytes, in a row and by list", () => {
	const pages = engine.allocate(6000 * 4096);
	const expected = vectors.find(([byteLength]) => byteLength === 4096)![2];
	for (const page of [0, 3, 5999]) engine.view(pages).set(input.subarray(0, 4096), page * 4096);
	const hasher = new PageHasher(engine);
	const hashes = hasher.hashPages(pages);
	assert.is(hashes.byteLength, 6000 * 16);
	for (const page of [0, 3, 5999]) assert.is(canonical(hashes.subarray(page * 16, page * 16 + 16)), expected);
	const list = new PageList(engine, 8);
	list.load([5999, 1, 3]);
	const listed = hasher.hashList(pages, list);
	assert.is(canonical(listed.subarray(0, 16)), expected);
	assert.equal(listed.subarray(16, 32), hash128(engine, new Uint8Array(4096)));
	assert.is(canonical(listed.subarray(32, 48)), expected);
	const into = engine.allocate(32);
	hasher.hashPagesInto(pages, 2, 2, into);
	assert.equal(engine.view(into), hashes.subarray(32, 64));
});

test("hashing updates from a region equal updates from bytes", () => {
	const region = engine.allocate(100_000);
	engine.view(region).set(input.subarray(0, 100_000));
	const hasher = new Hasher128(engine).updateRegion(region);
	assert.equal(hasher.digest(), hash128(engine, input.subarray(0, 100_000)));
});

test("pages outside the region are refused by name", () => {
	const pages = engine.allocate(4 * 4096);
	const hasher = new PageHasher(engine);
	assert.throws(() => hasher.hashPages(pages, 3, 2), /pages: page count/);
	assert.throws(() => hasher.hashPages(pages, 5), /pages: first page/);
	const list = new PageList(engine, 1);
	list.load([4]);
	assert.throws(() => hasher.hashList(pages, list), /list: page index/);
	assert.throws(() => hasher.hashPagesInto(pages, 0, 4, engine.allocate(63)), /into/);
});

test.run();
