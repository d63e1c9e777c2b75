/** Code that a target lacks, piece by piece, checked against its announced length and its hash. */
import { MoveError } from "../handover/move-error.ts";
import type { GuestLayout } from "../ports/guest.ts";
import { toHex } from "../wire/digest.ts";
import { MAX_RESOURCE_BYTES } from "../wire/limits.ts";
import type { Record } from "../wire/records.ts";

/** See the head of this file. */
export class ArrivingResources {
	/** What has come, by hash. */
	readonly byHash: Map<string, Uint8Array<ArrayBuffer>> = new Map();
	readonly #layout: GuestLayout;

	constructor(layout: GuestLayout) {
		this.#layout = layout;
	}

	/**
	 * Takes a piece.
	 * @param complete - whether it is its resource's last
	 * @throws MoveError `protocol` for another length than announced or pieces out of order, `corrupt` for another hash
	 */
	async collect(record: Extract<Record, { type: "resource" }>, complete: boolean): Promise<void> {
		const announced = this.#layout.resources.find(({ hash }) => hash === record.hash)?.byteLength;
		if (record.total !== announced || record.total > MAX_RESOURCE_BYTES)
			throw new MoveError("protocol", `resource ${record.hash} has ${record.total} bytes, announced were ${announced}`);
		if (record.offset === 0) this.byHash.set(record.hash, new Uint8Array(record.total));
		const bytes = this.byHash.get(record.hash);
		if (bytes === undefined || record.offset + record.bytes.byteLength > record.total)
			throw new MoveError("protocol", `resource ${record.hash}: bytes out of order`);
		bytes.set(record.bytes, record.offset);
		if (!complete) return;
		const hash = toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
		if (hash !== record.hash) throw new MoveError("corrupt", `resource ${record.hash} arrived with the hash ${hash}`);
	}
}
