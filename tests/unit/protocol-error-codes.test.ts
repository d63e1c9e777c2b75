// docs/protocol.md, section 8, names every code that the code has, and no other. The lists below are complete because the
// type checker says so.
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MoveErrorCode } from "../../bindings/handover/move-error.ts";
import type { LinkErrorCode } from "../../bindings/ports/link.ts";
import type { SnapshotErrorCode } from "../../bindings/snapshot/image-error.ts";
import type { WireErrorCode } from "../../bindings/wire/wire-error.ts";

const test = suite("error codes of the protocol");

type All<Code extends string> = { readonly [name in Code]: true };

const LINK: All<LinkErrorCode> = {
	...{ lost: true, closed: true, aborted: true, corrupt: true, refused: true, "unsupported-version": true },
};
const WIRE: All<WireErrorCode> = {
	...{ "unknown-record": true, "too-large": true, malformed: true },
	...{ missing: true, "wrong-type": true, "out-of-range": true },
};
const MOVE: All<MoveErrorCode> = {
	...{ refused: true, cancelled: true, deadline: true, "total-time": true, "link-lost": true, protocol: true },
	...{ peer: true, corrupt: true, guest: true, lease: true, store: true },
};
/** What a keeper's store says of itself: all but `digest`, which goes as `corrupt`. */
const KEEPER: All<Exclude<SnapshotErrorCode, "digest">> = {
	...{ missing: true, corrupt: true, foreign: true, "unsupported-version": true, "too-large": true, chain: true },
	...{ sealed: true, signature: true, full: true, failed: true, expired: true, busy: true },
};

const section = readFileSync("docs/protocol.md", "utf8")
	.split(/^## /m)
	.find((part) => part.startsWith("8. Errors"))!;

/** The codes of the table that follows these words. */
function tableAfter(words: string): string[] {
	const from = section.indexOf(words);
	assert.ok(from >= 0, words);
	const rows = section.slice(from).split("\n\n")[1]!.split("\n").slice(2);
	return rows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code!)).sort();
}

for (const [words, codes] of [
	["`LinkError` (", LINK],
	["`WireError` (", WIRE],
	["`code` in refuse, reject and abort", { ...MOVE, ...KEEPER }],
] as const)
	test(`the table after ${words}…) has each code once`, () => {
		assert.equal(tableAfter(words), Object.keys(codes).sort());
	});

test.run();
