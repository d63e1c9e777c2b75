import * as assert from "uvu/assert";
import { batchChecksum } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 as hash64In, hash128 as hash128In } from "../../bindings/engine/hash.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { identityOf, readFrame } from "../../bindings/snapshot/image.ts";
import { ObjectBuilder } from "../../bindings/snapshot/image-builder.ts";
import { SnapshotError, type SnapshotErrorCode, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { encodeFrameHeader, FRAME_HEADER_BYTES } from "../../bindings/wire/frame.ts";
import { IMAGE_TYPES, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { failsWith } from "../contract/suites/failures.ts";
import { guestOf, save } from "../simulation/snapshot-store-world.ts";

const engine = createEngine();

export interface Frame {
	type: number;
	payload: Uint8Array<ArrayBuffer>;
}

/** A store with a parent and a child, and a way to make their manifests anew. */
export class Forge {
	readonly store = new MemoryStore();
	readonly random = new SeededRandom(8);
	readonly guest = guestOf(this.random, 12);
	parent = "";
	child = "";

	open(options: { readonly maximumPageCount?: number } = {}): SnapshotStore {
		return new SnapshotStore(this.store, { clock: systemClock, random: this.random, ...options });
	}

	async fill(): Promise<this> {
		for (let page = 0; page < 12; page++) this.guest.write(page * PAGE_BYTES, Uint8Array.of(page + 1));
		this.parent = (await save(this.open(), this.guest)).id;
		this.guest.write(PAGE_BYTES, Uint8Array.of(1, 2, 3));
		this.child = (await save(this.open(), this.guest, { parent: this.parent, pages: [1] })).id;
		return this;
	}

	/** The frames of an object, but its first and its last. */
	async frames(name: string): Promise<Frame[]> {
		const bytes = await this.store.get(name);
		const frames: Frame[] = [];
		for (let at = 0; at < bytes.byteLength; ) {
			const { type, payload } = readFrame(engine, bytes, at, { offset: at });
			frames.push({ type, payload: payload.slice() });
			at += FRAME_HEADER_BYTES + payload.byteLength;
		}
		return frames.slice(1, -1);
	}

	/** Puts other frames under an object's name, all checksums right. @returns the new reference as the head has it. */
	async replace(name: string, frames: readonly Frame[], first?: (payload: Uint8Array) => void) {
		const builder = new ObjectBuilder(engine, identityOf(name)!);
		for (const { type, payload } of frames) builder.append(type, payload);
		let built = builder.finish();
		if (first !== undefined) {
			const other = new AlteredBuilder(built.bytes, first);
			built = { ...built, ...other.rebuilt(frames) };
		}
		await this.store.delete(name);
		await this.store.put(name, built.bytes.slice());
		return { object: name, byteLength: built.byteLength, digest: built.digest };
	}

	/** Makes a snapshot's manifest anew from other frames, and points its head to it. */
	async forge(id: string, change: (frames: Frame[]) => void, first?: (payload: Uint8Array) => void): Promise<void> {
		const name = `snapshots/manifests/${id}-0`;
		const frames = await this.frames(name);
		change(frames);
		const manifest = await this.replace(name, frames, first);
		await this.head(id, (head) => ({ ...head, manifest }));
	}

	async head(id: string, change: (head: Record<string, unknown>) => Record<string, unknown>): Promise<void> {
		const name = `snapshots/heads/${id.slice(-8)}`;
		const raw = await this.store.readReference(name);
		const next = change(JSON.parse(new TextDecoder().decode(raw)));
		assert.ok(await this.store.compareAndSetReference(name, raw, new TextEncoder().encode(JSON.stringify(next))));
	}

	/** Every way to look at a snapshot fails, with this code. */
	async refused(id: string, code: SnapshotErrorCode, message: RegExp, options = {}): Promise<void> {
		const error = await failsWith(SnapshotError, code, this.open(options).open(id));
		assert.match(error.message, message);
		await failsWith(SnapshotError, code, this.open(options).verify(id));
		await failsWith(SnapshotError, code, this.open(options).begin({ layout: this.guest.state.layout(), parent: id }));
		assert.is((await this.store.listReferences("snapshots/heads/")).length, 2, "a failed begin leaves no reservation");
	}
}

/** An object with another image record, every checksum made anew. */
class AlteredBuilder {
	readonly #record: Uint8Array<ArrayBuffer>;

	constructor(bytes: Uint8Array<ArrayBuffer>, change: (payload: Uint8Array) => void) {
		this.#record = bytes.slice(FRAME_HEADER_BYTES, 2 * FRAME_HEADER_BYTES);
		change(this.#record);
	}

	/** The first frame of a builder cannot be chosen: it is overwritten, and the headers are hashed again. */
	rebuilt(frames: readonly Frame[]) {
		const builder = new RawBuilder();
		builder.append(IMAGE_TYPES.image, this.#record);
		for (const { type, payload } of frames) builder.append(type, payload);
		return builder.finish();
	}
}

/** Builds an object without an image record of its own: the tests' own writer of frames. */
export class RawBuilder {
	readonly #frames: Frame[] = [];

	append(type: number, payload: Uint8Array<ArrayBuffer>): void {
		this.#frames.push({ type, payload });
	}

	finish() {
		const { hash64, hash128, header } = hashes;
		const headers = this.#frames.map(({ type, payload }, sequence) => header(type, sequence, payload, hash64));
		const all = Uint8Array.from(headers.flatMap((bytes) => [...bytes]));
		const trailer = new Uint8Array(24);
		const view = new DataView(trailer.buffer);
		view.setUint32(0, headers.length, true);
		view.setUint32(4, FRAME_HEADER_BYTES + this.#frames.at(-1)!.payload.byteLength, true);
		const digest = hash128(all);
		trailer.set(digest, 8);
		this.#frames.push({ type: IMAGE_TYPES.trailer, payload: trailer });
		headers.push(header(IMAGE_TYPES.trailer, headers.length, trailer, hash64));
		const bytes = Uint8Array.from(this.#frames.flatMap(({ payload }, i) => [...headers[i]!, ...payload]));
		return { bytes, byteLength: bytes.byteLength, digest: hex(digest) };
	}
}

export const hashes = {
	hash64: (bytes: Uint8Array) => hash64In(engine, bytes),
	hash128: (bytes: Uint8Array) => hash128In(engine, bytes),
	header: (type: number, sequence: number, payload: Uint8Array, hash64: (bytes: Uint8Array) => bigint) =>
		encodeFrameHeader(
			{
				lane: 0,
				modelledByteLength: 0,
				type,
				sequence,
				payloadByteLength: payload.byteLength,
				checksum: type === RECORD_TYPES.batch ? batchChecksum(engine, payload) : hash64(payload),
			},
			hash64,
		),
};
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Changes the description's JSON. */
export const describe = (change: (json: Record<string, unknown>) => void) => (frames: Frame[]) => {
	const json = JSON.parse(new TextDecoder().decode(frames[0]!.payload));
	change(json);
	frames[0] = { type: IMAGE_TYPES.description, payload: new TextEncoder().encode(JSON.stringify(json)) };
};

export const of = (frames: readonly Frame[], type: number) => frames.find((frame) => frame.type === type)!;
export const u32 = (frame: Frame, at: number, value: number) =>
	new DataView(frame.payload.buffer, frame.payload.byteOffset).setUint32(at, value, true);
