import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MoveError } from "../../bindings/handover/move-error.ts";
import { begunKeeper, type KeeperState, stepKeeper } from "../../bindings/snapshot/keeper-states.ts";
import type { Record } from "../../bindings/wire/records.ts";

const test = suite("keeper: the step function");

const HASH = "ab".repeat(32);
const OTHER = "cd".repeat(32);
const BYTES = Uint8Array.of(1, 2, 3, 4);
const RECORDS: { readonly [Type in Record["type"]]?: Extract<Record, { type: Type }> } = {
	offer: {
		...{ type: "offer", protocol: { min: 1, max: 1 }, technique: "save", verification: "full", windowBytes: 65_536 },
		layout: { kind: "memory", pageBytes: 4096, pageCount: 8, maximumPageCount: 9, resources: [], facts: {} },
		facts: {},
	},
	resource: { type: "resource", hash: HASH, offset: 0, total: 4, bytes: BYTES },
	batch: { type: "batch", batch: { bytes: BYTES, checksum: 0n } },
	layout: { type: "layout", pageCount: 9 },
	round: { type: "round", index: 1, toSend: 1, sent: 1, skipped: 0 },
	state: { type: "state", offset: 0, total: 8, bytes: BYTES },
	digest: { type: "digest", digest: "0".repeat(32), pageCount: 8, stateByteLength: 8 },
	hello: {
		...{ type: "hello", protocol: { min: 1, max: 1 }, intent: "move", moveId: "m", technique: "x" },
		...{ verification: "full", windowBytes: 65_536 },
		layout: { kind: "memory", pageBytes: 4096, pageCount: 8, maximumPageCount: 9, resources: [], facts: {} },
	},
	go: { type: "go" },
	kept: { type: "kept", snapshotId: "0".repeat(32) },
};
const STATES: readonly (readonly [KeeperState, readonly Record["type"][]])[] = [
	[{ name: "waiting" }, ["offer"]],
	[{ name: "beginning" }, []],
	[begunKeeper(8, [HASH]), ["resource"]],
	[begunKeeper(8, []), ["batch", "layout", "round", "state"]],
	[{ name: "restoring", pageCount: 8, received: 0, total: 8 }, ["state"]],
	[{ name: "restoring", pageCount: 8, received: 8, total: 8 }, ["digest"]],
	[{ name: "committing" }, []],
];
const refusal = (state: KeeperState, record: Record): MoveError => {
	try {
		stepKeeper(state, record);
	} catch (error) {
		assert.instance(error, MoveError);
		assert.is((error as MoveError).code, "protocol");
		return error as MoveError;
	}
	throw new Error(`${state.name} took ${record.type}`);
};

for (const [state, allowed] of STATES)
	test(`a keeper that is '${state.name}' takes ${allowed.join(", ") || "nothing"}, and names both where it does not`, () => {
		for (const [type, record] of Object.entries(RECORDS)) {
			if (allowed.some((one) => one === type)) stepKeeper(state, record);
			// Half-received state is a matter of its own, below.
			else if (state.name !== "restoring" || (type !== "state" && type !== "digest"))
				assert.match(refusal(state, record).message, state.name);
		}
	});

test("code comes in order, whole, and only what was asked for", () => {
	const piece = (hash: string, offset: number, total: number): Record => ({
		...{ type: "resource", hash, offset, total },
		bytes: BYTES,
	});
	const asked = begunKeeper(8, [HASH, OTHER]);
	const { state: half } = stepKeeper(asked, piece(HASH, 0, 8));
	refusal(asked, piece("ef".repeat(32), 0, 8));
	refusal(asked, piece(HASH, 4, 8));
	refusal(half, piece(HASH, 0, 8));
	refusal(half, piece(OTHER, 0, 4));
	refusal(half, piece(HASH, 4, 12));
	const { state: one, action } = stepKeeper(half, piece(HASH, 4, 8));
	assert.ok(action.do === "collect" && action.complete);
	assert.is(one.name, "collecting");
	assert.equal(stepKeeper(one, piece(OTHER, 0, 4)).state, { name: "receiving", pageCount: 8 });
});

test("guests never shrink, state comes without gaps, and the digest covers what came", () => {
	const receiving = begunKeeper(8, []);
	refusal(receiving, { type: "layout", pageCount: 8 });
	const half: KeeperState = { name: "restoring", pageCount: 8, received: 4, total: 8 };
	refusal(half, { type: "state", offset: 0, total: 8, bytes: BYTES });
	refusal(half, { type: "state", offset: 4, total: 9, bytes: BYTES });
	refusal(half, RECORDS.digest!);
	const whole: KeeperState = { ...half, received: 8 };
	refusal(whole, { ...RECORDS.digest!, pageCount: 9 });
	refusal(whole, { ...RECORDS.digest!, stateByteLength: 7 });
	assert.equal(stepKeeper(whole, RECORDS.digest!).state, { name: "committing" });
});

test.run();
