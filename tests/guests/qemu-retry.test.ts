// Moves that fail, at every phase and in every way, and then one that does not: the machine has been here all the time, and its
// console, read over all of them, has no gap.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import type { MovePhase } from "../../bindings/handover/move-error.ts";
import type { MoveOptions } from "../../bindings/migration/move.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import type { Link } from "../../bindings/ports/link.ts";
import { oracleComplaint } from "../qemu/counter-sector.ts";
import { gapIn, JoinedConsole, moveTo } from "../qemu/moves.ts";
import { nextLine, openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: another try");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);
/** From the first page on, up to the last moment at which the guest may be kept. */
const PHASES = ["set-up", "live", "pause", "final-round", "state", "verify", "release"] as const;

if (missing === undefined) {
	const stage = await QemuStage.open();
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());

	/** Tries at each of these phases, then moves the guest, and looks at what it has said and counted. */
	const tryAt = async (
		phases: readonly MovePhase[],
		disturb: (what: { readonly links: readonly Link[]; readonly target: QemuGuest | undefined }) => void,
		{ code, signal }: { readonly code: RegExp; readonly signal?: () => AbortSignal },
	): Promise<void> => {
		const consoles = new JoinedConsole();
		let target: QemuGuest | undefined;
		const factory = consoles.hearing(await stage.factory(), (made) => {
			target = stage.keep(made);
		});
		const source = await stage.startCounter();
		consoles.follow(source);
		for (const at of phases) {
			target = undefined;
			let links: readonly Link[] = [];
			const options: MoveOptions = {
				onProgress: ({ phase }) => {
					if (phase === at) disturb({ links, target });
				},
				...(signal === undefined ? {} : { signal: signal() }),
			};
			const { result, received } = await moveTo(platform, factory, source, preCopy, {
				...options,
				onLinks: (...both) => {
					links = both;
				},
			});
			assert.is(result.outcome, "kept", at);
			assert.match(result.outcome === "kept" ? result.error.code : "", code, at);
			assert.is(received.outcome, "discarded", at);
			await nextLine(source, isCount);
		}
		const { result } = await moveTo(platform, factory, source, preCopy, { verification: "transport" });
		assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
		for (let line = 0; line < 3; line++) await nextLine(target!, isCount);
		await target!.pause({ deadlineMs: 10_000 });
		assert.is(oracleComplaint(await stage.counted(target!)), undefined);
		assert.is(gapIn(consoles.numbers(/^([0-9a-f]{8})$/, 16)), undefined);
	};

	test("a move that is cancelled in any phase keeps the guest, and another try succeeds", async () => {
		let cancel = new AbortController();
		await tryAt(PHASES, () => cancel.abort(new RangeError("not today")), {
			code: /^cancelled$/,
			signal: () => {
				cancel = new AbortController();
				return cancel.signal;
			},
		});
	});

	test("a move whose link is lost in any phase keeps the guest, and another try succeeds", () =>
		tryAt(PHASES, ({ links: [, far] }) => far!.abort(new RangeError("the cable")), { code: /^link-lost$/ }));

	test("a move whose target dies keeps the guest, and another try succeeds", () =>
		tryAt(
			["live", "pause", "final-round", "state"],
			({ target }) => {
				if (target !== undefined) platform.files.kill(target.pid);
			},
			{ code: /^(peer|link-lost)$/ },
		));
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
