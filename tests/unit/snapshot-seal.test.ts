import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import {
	importEncryptionKey,
	importSigningKey,
	type Sealing,
	SnapshotError,
	SnapshotStore,
} from "../../bindings/snapshot/store.ts";
import { failsWith } from "../contract/suites/failures.ts";
import { assertIs, guestOf, remember, restoreAll, restoreByPages, save } from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store: encryption and signatures");

const key = (byte: number) => importEncryptionKey(new Uint8Array(32).fill(byte));
const signer = (byte: number) => importSigningKey(new Uint8Array(32).fill(byte));
const encryption = async (byte: number, keyId = `key ${byte}`) => ({
	keyId,
	keys: new Map([[keyId, await key(byte)]]),
});

function world(seed: number) {
	const random = new SeededRandom(seed);
	const store = new MemoryStore();
	const open = (sealing?: Sealing) =>
		new SnapshotStore(store, { clock: systemClock, random, ...(sealing === undefined ? {} : { sealing }) });
	return { random, store, open };
}

async function allBytes(store: MemoryStore): Promise<string> {
	let text = "";
	for (const name of await store.list("")) text += new TextDecoder("latin1").decode(await store.get(name));
	return text;
}

test("an encrypted snapshot comes back with its key, and tells nothing without it", async () => {
	const { random, store, open } = world(1);
	const guest = guestOf(random, 400);
	const secret = "the password is swordfish; the password is swordfish";
	guest.write(7 * PAGE_BYTES, new TextEncoder().encode(secret));
	guest.setState(new TextEncoder().encode(secret));
	const sealing = { encryption: await encryption(1) };
	const snapshots = open(sealing);
	const first = await save(snapshots, guest, { label: "a label" });
	guest.write(0, Uint8Array.of(1));
	const second = await save(snapshots, guest, { parent: first.id, pages: [0] });
	const stored = await allBytes(store);
	assert.not.ok(stored.includes("swordfish") || stored.includes("a label"));
	for (const place of [snapshots, open(sealing)]) {
		assertIs(await restoreAll(place, second.id), remember(guest));
		assertIs(await restoreByPages(place, second.id, 50), remember(guest));
		await place.verify(second.id);
		await place.prune();
	}
	await failsWith(SnapshotError, "sealed", open({ encryption: await encryption(2) }).open(second.id));
	await failsWith(SnapshotError, "sealed", open({ encryption: await encryption(2, "key 1") }).open(second.id));
	const plain = await failsWith(SnapshotError, "corrupt", open().open(second.id));
	assert.match(plain.message, /manifests/);
});

test("what an encrypting store finds unencrypted is refused", async () => {
	const { random, open } = world(2);
	const { id } = await save(open(), guestOf(random, 20));
	const error = await failsWith(SnapshotError, "corrupt", open({ encryption: await encryption(1) }).open(id));
	assert.match(error.message, /expected/);
});

test("old keys open old snapshots, new ones are made with the new key, and a prune that packs anew changes the key", async () => {
	const { random, open } = world(3);
	const guest = guestOf(random, 100);
	const first = await save(open({ encryption: await encryption(1) }), guest);
	const both = { keyId: "key 2", keys: new Map([...(await encryption(1)).keys, ...(await encryption(2)).keys]) };
	const snapshots = open({ encryption: both });
	guest.write(0, Uint8Array.of(1));
	const second = await save(snapshots, guest, { parent: first.id, pages: [0] });
	assertIs(await restoreAll(open({ encryption: both }), second.id), remember(guest));
	await failsWith(SnapshotError, "sealed", open({ encryption: await encryption(2) }).open(second.id));
	await snapshots.prune({ keep: [second.id], repackBelow: 2 });
	assertIs(await restoreAll(open({ encryption: await encryption(2) }), second.id), remember(guest));
});

test("a signed snapshot is refused without a signature that is trusted here", async () => {
	const { random, open } = world(4);
	const guest = guestOf(random, 100);
	const mine = await signer(1);
	const sealing: Sealing = { signing: { keyId: "me", key: mine, trusted: new Map([["me", mine]]) } };
	const { id } = await save(open(sealing), guest);
	const unsigned = await save(open(), guest);
	assertIs(await restoreAll(open(sealing), id), remember(guest));
	assertIs(await restoreAll(open(), id), remember(guest), "whoever does not ask for a signature needs no key");
	const reader: Sealing = { signing: { trusted: new Map([["me", mine]]) } };
	await open(reader).verify(id);
	await failsWith(SnapshotError, "signature", save(open(reader), guest));
	await failsWith(SnapshotError, "signature", open(sealing).open(unsigned.id));
	const others = new Map([["you", await signer(2)]]);
	await failsWith(SnapshotError, "signature", open({ signing: { trusted: others } }).open(id));
	const impostor = new Map([["me", await signer(2)]]);
	await failsWith(SnapshotError, "signature", open({ signing: { trusted: impostor } }).open(id));
});

test("a pack that was exchanged for another with the same checksums is refused by its signed SHA-256", async () => {
	const { random, store, open } = world(5);
	const guest = guestOf(random, 50);
	const mine = await signer(1);
	const sealing: Sealing = { signing: { keyId: "me", key: mine, trusted: new Map([["me", mine]]) } };
	const { id } = await save(open(sealing), guest);
	const [pack] = await store.list("snapshots/packs/");
	const bytes = await store.get(pack!);
	await store.delete(pack!);
	// A forger can make every checksum right; here one byte is enough to see that they are not what is relied on.
	await store.put(pack!, bytes.with(3000, bytes[3000]! ^ 1));
	await failsWith(SnapshotError, "signature", restoreAll(open(sealing), id));
	await failsWith(SnapshotError, "signature", open(sealing).verify(id));
});

test("Ed25519 signs with one key and is checked with the other", async () => {
	const { random, open } = world(6);
	const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
	if (!("publicKey" in pair)) throw new TypeError("a pair of keys was asked for");
	const trusted = new Map([["me", pair.publicKey]]);
	const guest = guestOf(random, 50);
	const { id } = await save(open({ signing: { keyId: "me", key: pair.privateKey, trusted } }), guest);
	assertIs(await restoreAll(open({ signing: { trusted } }), id), remember(guest));
	const other = new Map([["me", await signer(1)]]);
	await failsWith(SnapshotError, "signature", open({ signing: { trusted: other } }).open(id));
});

test("keys that are none are the caller's mistake", async () => {
	const { open } = world(7);
	const good = await encryption(1);
	assert.throws(() => open({ encryption: { ...good, keyId: "another" } }), /RangeError|keyId/);
	assert.throws(
		() => open({ encryption: { keyId: "", keys: new Map([["", new Map(good.keys).get("key 1")!]]) } }),
		/keyId/,
	);
	const mine = new Map([["x", good.keys.get("key 1")!]]);
	assert.throws(() => open({ signing: { trusted: mine } }), /HMAC or Ed25519/);
	assert.throws(() => open({ signing: { keyId: "x", trusted: new Map() } }), /come together/);
	for (const make of [importEncryptionKey, importSigningKey])
		await make(new Uint8Array(5)).then(
			() => assert.unreachable(),
			(error: unknown) => assert.instance(error, RangeError),
		);
});

test.run();
