import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PackRegistry } from "../../bindings/snapshot/pack-registry.ts";

const test = suite("snapshot store: known packs");

const pack = (number: number, sha256?: string) => ({
	identity: { role: "pack", creator: "1".repeat(32), number } as const,
	byteLength: 4096,
	digest: "2".repeat(32),
	entries: 3,
	...(sha256 === undefined ? {} : { sha256 }),
});

for (const sha256 of [undefined, "3".repeat(64)])
	test(`a pack that this process wrote keeps its slot when a manifest names it (${sha256 === undefined ? "unsigned" : "signed"})`, () => {
		const registry = new PackRegistry();
		const slot = registry.open();
		registry.settle(slot, pack(0, sha256));
		assert.is(registry.slotOf(pack(0, sha256)), slot);
		assert.is.not(registry.slotOf(pack(1, sha256)), slot);
	});

test("a pack of which the SHA-256 is known is another one than a pack of which it is not", () => {
	const registry = new PackRegistry();
	assert.is.not(registry.slotOf(pack(0)), registry.slotOf(pack(0, "3".repeat(64))));
});

test("a slot that is still open names no pack", () => {
	const registry = new PackRegistry();
	const slot = registry.open();
	assert.throws(() => registry.get(slot), /no finished pack/);
});

test.run();
