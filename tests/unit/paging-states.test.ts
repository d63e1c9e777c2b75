import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MoveError } from "../../bindings/handover/move-error.ts";
import { type ClientState, installedAll, stepClient } from "../../bindings/paging/client-states.ts";
import { judged, type ServerState, stepServer } from "../../bindings/paging/server-states.ts";
import type { Record } from "../../bindings/wire/records.ts";

const test = suite("paging states");

const PAGES = 8;
const report = { faults: 0, minorFaults: 0, blockedMs: 0, p50Ms: 0, p90Ms: 0, maximumMs: 0, histogram: [] };

/** One valid record of each type that can come over a paging link. */
const RECORDS: readonly Record[] = [
	{ type: "batch", batch: { bytes: new Uint8Array(0), checksum: 0n } },
	{ type: "missing", firstPage: 0, pageCount: 8, bits: new Uint8Array(1) },
	{ type: "fault", pageIndices: Uint32Array.of(1) },
	{ type: "taken", pageIndex: 1, pageCount: 1 },
	{ type: "complete", digest: "0".repeat(32), pageCount: PAGES, report },
	{ type: "accepted" },
	{ type: "hashes", firstPage: 0, hashes: new Uint8Array(4 * 16) },
	{ type: "corrupt", pageIndices: [1], pageCount: 1 },
	{ type: "recover", moveId: "x" },
	{ type: "go" },
	{ type: "running" },
];

const SERVER: { readonly [Name in ServerState["name"]]: readonly Record["type"][] } = {
	serving: ["fault", "taken", "complete"],
	judging: [],
	naming: ["corrupt"],
	accepted: [],
	corrupt: [],
};

const CLIENT: { readonly [Name in ClientState["name"]]: readonly Record["type"][] } = {
	paging: ["batch"],
	completing: ["accepted", "hashes"],
	naming: ["hashes"],
	complete: [],
	corrupt: [],
};

function protocolError(work: () => unknown, message: RegExp): void {
	assert.throws(
		work,
		(error: unknown) => error instanceof MoveError && error.code === "protocol" && message.test(error.message),
	);
}

test("every state of the source takes its own records and refuses each other one, naming both", () => {
	for (const name of ["serving", "judging", "naming", "accepted", "corrupt"] as const)
		for (const record of RECORDS)
			if (SERVER[name].includes(record.type)) stepServer({ name }, record);
			else protocolError(() => stepServer({ name }, record), new RegExp(`'${name}'.*'${record.type}'`));
});

test("every state of the target takes its own records and refuses each other one, naming both", () => {
	const states: readonly ClientState[] = [
		{ name: "paging" },
		{ name: "completing" },
		{ name: "naming", compared: 0 },
		{ name: "complete" },
		{ name: "corrupt" },
	];
	for (const state of states)
		for (const record of RECORDS)
			if (CLIENT[state.name].includes(record.type)) stepClient(state, record, PAGES);
			else protocolError(() => stepClient(state, record, PAGES), new RegExp(`'${state.name}'.*'${record.type}'`));
});

test("a word that the peer is alive changes nothing in any state", () => {
	const alive: Record = { type: "alive" };
	for (const name of ["serving", "judging", "naming", "accepted", "corrupt"] as const)
		assert.equal(stepServer({ name }, alive), { state: { name }, action: { do: "nothing" } });
	for (const name of ["paging", "completing", "complete", "corrupt"] as const)
		assert.equal(stepClient({ name }, alive, PAGES), { state: { name }, action: { do: "nothing" } });
});

test("the source ends accepted or corrupt, by what it compares", () => {
	const judging = stepServer({ name: "serving" }, RECORDS[4]!).state;
	assert.equal(judging, { name: "judging" });
	assert.equal(judged(judging, true), { name: "accepted" });
	const naming = judged(judging, false);
	assert.equal(stepServer(naming, RECORDS[7]!), {
		state: { name: "corrupt" },
		action: { do: "end", record: RECORDS[7] },
	});
	protocolError(() => judged({ name: "serving" }, true), /nothing to judge/);
});

test("hashes come in order and without gaps until every page is compared", () => {
	const hashes = (firstPage: number, count: number): Record => ({
		type: "hashes",
		firstPage,
		hashes: new Uint8Array(count * 16),
	});
	const half = stepClient({ name: "completing" }, hashes(0, 5), PAGES);
	assert.equal(half.state, { name: "naming", compared: 5 });
	protocolError(() => stepClient(half.state, hashes(4, 4), PAGES), /expected 5 of 8/);
	protocolError(() => stepClient(half.state, hashes(5, 4), PAGES), /expected 5 of 8/);
	const whole = stepClient(half.state, hashes(5, 3), PAGES);
	assert.equal(whole.state, { name: "corrupt" });
	assert.ok(whole.action.do === "compare" && whole.action.last);
});

test("a target has installed everything once", () => {
	assert.equal(installedAll({ name: "paging" }), { name: "completing" });
	protocolError(() => installedAll({ name: "completing" }), /'completing'/);
});

test.run();
