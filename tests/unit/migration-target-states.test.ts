import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MoveError } from "../../bindings/handover/move-error.ts";
import {
	preparedTarget,
	stepTarget,
	type TargetState,
	verifiedTarget,
} from "../../bindings/migration/target-states.ts";
import type { GuestLayout } from "../../bindings/ports/guest.ts";
import type { Record } from "../../bindings/wire/records.ts";

const test = suite("target states");

const layout: GuestLayout = {
	kind: "memory",
	pageBytes: 4096,
	pageCount: 8,
	maximumPageCount: 16,
	resources: [],
	facts: {},
};
const hash = "a".repeat(64);

/** One state of each name. */
const STATES: { readonly [Name in TargetState["name"]]: Extract<TargetState, { name: Name }> } = {
	greeting: { name: "greeting" },
	collecting: { name: "collecting", layout, missing: new Set([hash]) },
	"setting-up": { name: "setting-up" },
	receiving: { name: "receiving", pageCount: 8 },
	owing: { name: "owing", pageCount: 24, covered: 8 },
	restoring: { name: "restoring", pageCount: 8, received: 0, total: 0 },
	verifying: { name: "verifying" },
	ready: { name: "ready" },
	running: { name: "running" },
};

/** One valid record of each type that can reach the step function. */
const RECORDS: readonly Record[] = [
	{ type: "resource", hash, offset: 0, total: 4, bytes: new Uint8Array(4) },
	{ type: "prepared", setupMs: 1 },
	{ type: "layout", pageCount: 9 },
	{ type: "batch", batch: { bytes: new Uint8Array(0), checksum: 0n } },
	{ type: "state", offset: 0, total: 0, bytes: new Uint8Array(0) },
	{ type: "digest", digest: "0".repeat(32), pageCount: 8, stateByteLength: 0 },
	{ type: "round", index: 1, toSend: 1, sent: 1, skipped: 0 },
	{ type: "ready" },
	{ type: "go" },
	{ type: "running" },
	{ type: "query", moveId: "x" },
	{ type: "answer", moveId: "x", status: "running" },
	{ type: "refuse", code: "x", message: "x" },
	{ type: "reject", code: "x", message: "x" },
	{ type: "missing", firstPage: 8, pageCount: 8, bits: new Uint8Array(1) },
	{ type: "fault", pageIndices: Uint32Array.of(1) },
	{ type: "recover", moveId: "x" },
];

const ALLOWED: { readonly [Name in TargetState["name"]]: readonly Record["type"][] } = {
	greeting: [],
	collecting: ["resource"],
	"setting-up": [],
	receiving: ["layout", "batch", "state", "round"],
	owing: ["missing"],
	restoring: ["state", "digest"],
	verifying: [],
	ready: ["go"],
	running: [],
};

test("every state takes its own records and refuses each other one, naming both", () => {
	for (const state of Object.values(STATES))
		for (const record of RECORDS) {
			if (ALLOWED[state.name].includes(record.type)) {
				stepTarget(state, record);
				continue;
			}
			try {
				stepTarget(state, record);
				assert.unreachable(`${state.name} took ${record.type}`);
			} catch (error) {
				assert.instance(error, MoveError);
				assert.is((error as MoveError).code, "protocol");
				assert.match((error as MoveError).message, new RegExp(`'${state.name}'.*'${record.type}'`));
			}
		}
});

const protocolError = (work: () => unknown, message: RegExp): void => {
	assert.throws(
		work,
		(error: unknown) => error instanceof MoveError && error.code === "protocol" && message.test(error.message),
	);
};

test("go is the only way to run, and only from ready", () => {
	const { state, action } = stepTarget(STATES.ready, { type: "go" });
	assert.is(state.name, "running");
	assert.is(action.do, "activate");
});

test("resources arrive until none is missing", () => {
	const two = { ...STATES.collecting, missing: new Set([hash, "b".repeat(64)]) };
	const piece: Record = { type: "resource", hash, offset: 0, total: 8, bytes: new Uint8Array(4) };
	const half = stepTarget(two, piece);
	assert.is(half.state, two);
	const first = stepTarget(two, { ...piece, offset: 4 });
	assert.is(first.state.name, "collecting");
	const second = stepTarget(first.state, { ...piece, hash: "b".repeat(64), total: 4 });
	assert.is(second.state.name, "setting-up");
	protocolError(() => stepTarget(STATES.collecting, { ...piece, hash: "c".repeat(64) }), /not asked for/);
});

test("a guest never shrinks", () => {
	protocolError(() => stepTarget(STATES.receiving, { type: "layout", pageCount: 8 }), /never shrink/);
	assert.equal(stepTarget(STATES.receiving, { type: "layout", pageCount: 12 }).state, {
		name: "receiving",
		pageCount: 12,
	});
});

test("state arrives in order and whole before its digest", () => {
	const piece = (offset: number, length: number, total = 10): Record => ({
		type: "state",
		offset,
		total,
		bytes: new Uint8Array(length),
	});
	const digest: Record = { type: "digest", digest: "0".repeat(32), pageCount: 8, stateByteLength: 10 };
	const first = stepTarget(STATES.receiving, piece(0, 6)).state;
	protocolError(() => stepTarget(first, piece(5, 4)), /expected 6/);
	protocolError(() => stepTarget(first, piece(6, 4, 11)), /of 11/);
	protocolError(() => stepTarget(first, piece(6, 5)), /more state bytes/);
	protocolError(() => stepTarget(first, digest), /6 of 10 arrived/);
	const whole = stepTarget(first, piece(6, 4)).state;
	protocolError(() => stepTarget(whole, { ...digest, pageCount: 7 } as Record), /7 pages/);
	assert.is(stepTarget(whole, digest).state.name, "verifying");
});

test("what is missing is said whole, before the state, and only to a guest that can wait", () => {
	const piece = (firstPage: number, pageCount: number): Record => ({
		type: "missing",
		firstPage,
		pageCount,
		bits: new Uint8Array(Math.ceil(pageCount / 8)),
	});
	const state: Record = { type: "state", offset: 0, total: 0, bytes: new Uint8Array(0) };
	protocolError(() => stepTarget(STATES.receiving, piece(0, 8)), /'receiving'.*'missing'/);
	const faulting = preparedTarget(STATES["setting-up"], 20, true);
	assert.is(stepTarget(faulting, state).state.name, "restoring", "nothing is left: a move as any other");
	const half = stepTarget(faulting, piece(0, 8)).state;
	protocolError(() => stepTarget(half, state), /'owing'.*'state'/);
	protocolError(() => stepTarget(half, piece(0, 8)), /expected 8/);
	protocolError(() => stepTarget(half, piece(16, 4)), /expected 8/);
	protocolError(() => stepTarget(half, piece(8, 13)), /of 20/);
	const whole = stepTarget(half, piece(8, 12)).state;
	assert.is(stepTarget(whole, state).state.name, "restoring");
	protocolError(() => stepTarget(whole, { type: "layout", pageCount: 30 }), /'owing'.*'layout'/);
});

test("this side's own events have their place too", () => {
	assert.equal(preparedTarget(STATES["setting-up"], 8), { name: "receiving", pageCount: 8 });
	protocolError(() => preparedTarget(STATES.ready, 8), /cannot be prepared/);
	assert.equal(verifiedTarget(STATES.verifying), { name: "ready" });
	protocolError(() => verifiedTarget(STATES.receiving), /cannot be verified/);
});

test.run();
