// A guest here, a keeper of snapshots there with a disk of its own, a simulated network between them; and what must hold at the end.
import * as assert from "uvu/assert";
import { connectSimulated, type SimulatedConnection } from "../../bindings/lab/simulated-stream.ts";
import type { StreamFault } from "../../bindings/lab/stream-faults.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { type KeeperOptions, type KeeperResult, keepSnapshots } from "../../bindings/snapshot/keeper.ts";
import { SaveError } from "../../bindings/snapshot/save-error.ts";
import { type SaveToOptions, saveTo } from "../../bindings/snapshot/save-to.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { DiskStore, isSame, SnapshotWorld } from "./snapshot-world.ts";
import { LINK_OPTIONS } from "./world.ts";

/** A guest here, a keeper with a disk of its own there, and a network between them. */
export class KeeperWorld extends SnapshotWorld {
	readonly keeperDisk = new DiskStore(this.clock);
	readonly keeperStore = new SnapshotStore(this.keeperDisk, { clock: this.clock, random: this.random });
	connection!: SimulatedConnection;
	keeping!: Promise<KeeperResult>;

	/** The near end of a link to the keeper. */
	connect(faults: readonly StreamFault[] = [], options: KeeperOptions = {}): StreamLink {
		this.connection = connectSimulated(this.clock, { rateBytesPerMs: 4000, latencyMs: 0.5, faults });
		const { clock, keeperStore: store } = this;
		const far = new StreamLink(this.connection.b, LINK_OPTIONS);
		far.opened.catch(() => undefined);
		this.keeping = keepSnapshots({ link: far, store, clock }, { idleMs: 5000, ...options });
		const near = new StreamLink(this.connection.a, LINK_OPTIONS);
		near.opened.catch(() => undefined);
		return near;
	}

	saveTo(options: SaveToOptions = {}, link = this.connect()) {
		const deadlines = { beginMs: 2000, stallMs: 2000, commitMs: 2000 };
		return saveTo({ guest: this.guest, link, clock: this.clock }, { deadlines, ...options });
	}

	/** What a snapshot in the keeper's store holds. */
	async keptContentOf(id: string) {
		const { clock, random } = this;
		const there = Object.assign(Object.create(this) as SnapshotWorld, {
			store: new SnapshotStore(this.keeperDisk, { clock, random }),
		});
		return there.contentOf(id);
	}
}

/** Whatever has happened: the two sides agree as far as they can, and nothing half is visible. */
export async function checkEnd(world: KeeperWorld, outcome: { readonly id: string } | { readonly error: SaveError }) {
	assert.ok(world.guest.running, "the guest runs on");
	const { snapshots } = await world.keeping;
	const listed = (await world.keeperStore.list()).map(({ id }) => id);
	assert.equal(
		listed,
		snapshots.map(({ id }) => id),
	);
	if ("id" in outcome) {
		assert.equal(listed, [outcome.id]);
		assert.ok(isSame((await world.keptContentOf(outcome.id)).memory, world.lastPause.memory));
	} else if (outcome.error.code !== "unconfirmed") assert.equal(listed, [], `${outcome.error.code}: but it is there`);
	else if (listed.length > 0)
		assert.ok(isSame((await world.keptContentOf(listed[0]!)).memory, world.lastPause.memory), "the unconfirmed one");
}

/** How a save to a keeper ends. */
export const settled = (
	saving: ReturnType<typeof saveTo>,
): Promise<{ readonly id: string } | { readonly error: SaveError }> =>
	saving.then(
		({ snapshot }) => ({ id: snapshot.id }),
		(error: unknown) => {
			assert.instance(error, SaveError, String(error));
			return { error: error as SaveError };
		},
	);
