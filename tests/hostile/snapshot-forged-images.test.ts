// Images from elsewhere whose checksums are all right and whose contents are not.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { IMAGE_TYPES, OPTIONAL_BIT, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { decodeRecord, encodeRecord } from "../../bindings/wire/records.ts";
import { failsWith, failureOf } from "../contract/suites/failures.ts";

import { describe, Forge, type Frame, hashes, of, RawBuilder } from "./snapshot-forge.ts";

const test = suite("forged images");

test("an image from elsewhere cannot bring pages twice, pages that there are not, code that is not asked for, or another format", async () => {
	const forge = await new Forge().fill();
	const chunks: Uint8Array[] = [];
	for await (const chunk of forge.open().export(forge.child)) chunks.push(chunk.slice());
	const frames: Frame[] = [];
	for (let i = 0; i < chunks.length; i += 2)
		frames.push({ type: new DataView(chunks[i]!.buffer).getUint16(6, true), payload: new Uint8Array(chunks[i + 1]!) });
	const inner = frames.slice(1, -1);
	const rebuild = (change: (frames: Frame[]) => void, first = frames[0]!.payload) => {
		const builder = new RawBuilder();
		const changed = inner.map(({ type, payload }) => ({ type, payload: payload.slice() }));
		change(changed);
		builder.append(IMAGE_TYPES.image, first);
		for (const { type, payload } of changed) builder.append(type, payload);
		return builder.finish().bytes;
	};
	const place = new SnapshotStore(new MemoryStore(), { clock: systemClock, random: new SeededRandom(4) });
	await place.import([rebuild(() => {})]);
	const bad: readonly (readonly [RegExp, (frames: Frame[]) => void])[] = [
		[/has a page that came before/, (changed) => changed.push(of(changed, RECORD_TYPES.batch))],
		[/is not where an image may have it/, (changed) => changed.push(of(changed, RECORD_TYPES.state))],
		[/resource/, (changed) => changed.splice(1, 0, { type: RECORD_TYPES.resource, payload: new Uint8Array(50) })],
		[/have the digest/, (changed) => changed.splice(-1, 1)],
		[/bad-index/, describe((json) => Object.assign(json, { layout: { ...(json.layout as object), pageCount: 1 } }))],
		[
			/at most/,
			describe((json) => {
				json.layout = { ...(json.layout as object), pageCount: 2 ** 31, maximumPageCount: 2 ** 31 };
			}),
		],
	];
	for (const [message, change] of bad) {
		const error = await failureOf(place.import([rebuild(change)]));
		assert.instance(error, SnapshotError);
		assert.match(String(error), message);
	}
	const record = frames[0]!.payload;
	for (const version of [0, 2, 0xffff]) {
		const other = rebuild(() => {}, Uint8Array.of(version & 0xff, version >> 8, ...record.subarray(2)));
		const error = await failsWith(SnapshotError, "unsupported-version", place.import([other]));
		assert.match(error.message, new RegExp(`version ${version}, this side reads 1 to 1`));
	}
	for (const role of [1, 2, 3, 5])
		await failsWith(
			SnapshotError,
			"foreign",
			place.import([rebuild(() => {}, Uint8Array.of(...record.subarray(0, 2), role, 0, ...record.subarray(4)))]),
		);
	const random = new SeededRandom(6);
	for (const foreign of [
		new Uint8Array(0),
		random.fill(new Uint8Array(5000)),
		new TextEncoder().encode("PK\u0003\u0004"),
	])
		assert.instance(await failureOf(place.import([foreign])), SnapshotError);
	assert.is((await place.list()).length, 1);
});

test("an image cannot go on for ever with pieces of nothing; pieces of a byte each, and records of later versions, are taken", async () => {
	const forge = await new Forge().fill();
	const chunks: Uint8Array[] = [];
	for await (const chunk of forge.open().export(forge.child)) chunks.push(chunk.slice());
	const frames: Frame[] = [];
	for (let i = 0; i < chunks.length; i += 2)
		frames.push({ type: new DataView(chunks[i]!.buffer).getUint16(6, true), payload: new Uint8Array(chunks[i + 1]!) });
	const place = new SnapshotStore(new MemoryStore(), { clock: systemClock, random: new SeededRandom(4) });
	const image = (change: (frames: Frame[]) => Frame[]) => {
		const builder = new RawBuilder();
		for (const { type, payload } of change(frames.slice(0, -1))) builder.append(type, payload);
		return place.import([builder.finish().bytes]);
	};
	const insteadOf = (type: number, others: (frame: Frame) => Frame[]) => (all: Frame[]) =>
		all.flatMap((frame) => (frame.type === type ? others(frame) : [frame]));
	const stateOf = ({ payload }: Frame) => {
		const record = decodeRecord({ type: RECORD_TYPES.state, payload, checksum: hashes.hash64(payload) });
		assert.is(record?.type, "state");
		return record as Extract<typeof record, { type: "state" }>;
	};
	const piece = (total: number, offset: number, bytes: Uint8Array<ArrayBuffer>) => ({
		type: RECORD_TYPES.state,
		payload: encodeRecord({ type: "state", offset, total, bytes }).payload.slice(),
	});
	/** What the encoder refuses as well: a piece whose byte is cut off. */
	const nothing = (total: number) => {
		const { type, payload } = piece(total, 0, Uint8Array.of(1));
		return { type, payload: payload.slice(0, -1) };
	};
	for (const change of [
		insteadOf(RECORD_TYPES.state, (frame) => [nothing(stateOf(frame).total), frame]),
		insteadOf(RECORD_TYPES.batch, (frame) => [{ type: frame.type, payload: new Uint8Array(16) }, frame]),
	]) {
		const error = await failsWith(SnapshotError, "corrupt", image(change));
		assert.match(error.message, /empty|without pages/);
	}
	const { digest } = await image(
		insteadOf(RECORD_TYPES.state, (frame) => {
			const { bytes, total } = stateOf(frame);
			assert.ok(total > 1);
			return Array.from(bytes, (byte, offset) => piece(total, offset, Uint8Array.of(byte)));
		}),
	);
	const later = { type: OPTIONAL_BIT | 0x7ff0, payload: new Uint8Array(8) };
	const again = await image(insteadOf(RECORD_TYPES.state, (frame) => [...Array<Frame>(300).fill(later), frame]));
	assert.is(again.digest, digest);
	assert.is((await place.list()).length, 2);
});

test.run();
