/** The demo's result as tables. */
import Table from "cli-table3";
import type { MoveMetrics } from "../migration/metrics.ts";
import type { RoundFacts } from "../policies/convergence.ts";
import type { DemoResult } from "./demo.ts";
import { bytes, milliseconds, rate, whole } from "./figures.ts";
import type { MachineDemoResult } from "./machine-demo.ts";
import type { DemoOptions } from "./options.ts";

/** No lines between rows. */
const COMPACT = { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };

/** Everything that the command prints at the end. */
export function report(options: DemoOptions, result: DemoResult): string {
	const parts = [
		...(result.metrics === undefined ? [] : [moveTable(options, result.metrics, result.prepareMs)]),
		...(result.metrics === undefined || result.metrics.rounds.every(({ toSendPages }) => toSendPages === 0)
			? []
			: [roundsTable(result.metrics.rounds)]),
		clientTable(result.client),
		...result.lastWords.map(({ message, errorText }) => lastWords(message, errorText)),
		checkList(result),
	];
	return `\n${parts.join("\n\n")}\n`;
}

/** What the command prints after a move of a whole machine. */
export function machineReport({ metrics, checks, verified, outcome }: MachineDemoResult): string {
	const parts = [
		moveTable({ link: "tcp" }, metrics),
		...(metrics.rounds.length === 0 ? [] : [roundsTable(metrics.rounds)]),
		checkList({ checks, verified, outcome }),
	];
	return `\n${parts.join("\n\n")}\n`;
}

/** What a process said before it ended, in its own words. */
export function lastWords(message: string, errorText: string): string {
	const lines = errorText.trimEnd().split("\n").slice(-20);
	const quoted =
		errorText.trim() === "" ? ["  (it wrote nothing to standard error)"] : lines.map((text) => `  | ${text}`);
	return [message, ...quoted].join("\n");
}

function table(head: readonly string[], rightFrom: number): Table.Table {
	return new Table({
		head: [...head],
		style: { head: [], border: [] },
		chars: COMPACT,
		colAligns: head.map((_, column) => (column >= rightFrom ? "right" : "left")),
	});
}

function moveTable(options: Pick<DemoOptions, "link">, metrics: MoveMetrics, prepareMs?: number): string {
	const { downtimeParts: parts } = metrics;
	const rows = table([metrics.technique, "", ""], 1);
	rows.options.colAligns = ["left", "right", "left"];
	const follow = metrics.paging !== undefined;
	const transferMs = metrics.preparationMs + parts.finalRoundMs + (follow ? metrics.resumeMs : 0);
	rows.push(
		["preparation", milliseconds(metrics.preparationMs), "live rounds, the guest runs"],
		["downtime", milliseconds(metrics.downtimeMs), "from the pause until the target is known to run"],
		["  final round", milliseconds(parts.finalRoundMs), "pages still owed at the pause"],
		[
			"  state",
			milliseconds(parts.stateMs),
			metrics.verification === "full" && !follow ? "registers, and all memory hashed again" : "registers",
		],
		["  verification", milliseconds(parts.verifyMs), "at the target"],
		["  commit", milliseconds(parts.commitMs), "right to run given up, go, running"],
		[
			"resume",
			milliseconds(metrics.resumeMs),
			follow ? "until the target has every page" : "until the source has let go",
		],
		["total", milliseconds(metrics.totalMs), "preparation + downtime + resume"],
		[
			"set-up",
			milliseconds(metrics.setupMs + (prepareMs ?? 0)),
			`beside the move: target and tracker${prepareMs === undefined ? "" : `, shadow ${milliseconds(prepareMs)}`}`,
		],
		[
			"pages",
			whole(metrics.pagesTransferred),
			`of ${whole(metrics.pageCount)}${metrics.pageKinds === undefined ? `; ${whole(metrics.zeroPages)} zero` : ""}`,
		],
		...kindRows(metrics),
		[
			"bytes on the wire",
			bytes(metrics.bytesOnWire),
			`${rate(transferMs > 0 ? metrics.bytesOnWire / transferMs : 0)} over ${options.link}`,
		],
		...pagingRows(metrics),
		[
			"longest slice",
			milliseconds(metrics.longestSliceMs),
			`on the guest's thread; 95 % below ${milliseconds(metrics.sliceP95Ms)}`,
		],
		["wait for the pause", milliseconds(metrics.pauseWaitMs), "until its pause point"],
		["memory", bytes(metrics.memoryBytes), "that the move itself held, its shadow apart"],
	);
	return rows.toString();
}

/** As what the pages of the rounds went. */
function kindRows({ pageKinds: kinds }: MoveMetrics): string[][] {
	if (kinds === undefined) return [];
	const bare = [
		kinds.zero > 0 ? `${whole(kinds.zero)} zero` : "",
		kinds.unchanged > 0 ? `${whole(kinds.unchanged)} unchanged` : "",
	];
	const rows: string[][] = [["  whole", whole(kinds.raw), bare.filter((words) => words !== "").join("; ")]];
	if (kinds.lz4 > 0) rows.push(["  compressed", whole(kinds.lz4), "by LZ4"]);
	if (kinds.delta > 0) rows.push(["  as deltas", whole(kinds.delta), "against what was sent last"]);
	return rows;
}

/** What came after the switch. */
function pagingRows({ networkFaults, minorFaults, paging }: MoveMetrics): string[][] {
	if (paging === undefined) return [["network faults", whole(networkFaults), `${whole(minorFaults)} minor`]];
	const { p50Ms, p90Ms, maximumMs } = paging.faultLatency;
	const vain = paging.pushedInVain === undefined ? "" : `; ${whole(paging.pushedInVain)} not touched until the end`;
	return [
		["pages that followed", whole(paging.owedPages), `${whole(paging.pushedPages)} pushed${vain}`],
		["network faults", whole(networkFaults), "pages sent because the guest waited for them"],
		["  in-flight waits", whole(paging.inFlightWaits), "for pages that were on their way"],
		["  minor faults", whole(minorFaults), "first touches of pages that had come"],
		["  blocked", milliseconds(paging.blockedMs), "time the guest stood still for pages"],
		[
			"  wait for a page",
			milliseconds(p50Ms),
			`median; 90 % below ${milliseconds(p90Ms)}, longest ${milliseconds(maximumMs)}`,
		],
		[
			"  order",
			paging.order === "address" ? "address" : "last use",
			paging.order === "address" ? "" : `known by ${paging.order}, of ${whole(paging.knownPages)} pages`,
		],
		...(paging.checkpoints === undefined
			? []
			: [
					[
						"  checkpoints back",
						whole(paging.checkpoints.checkpoints),
						`${whole(paging.checkpoints.pages)} pages, ${bytes(paging.checkpoints.bytes)}`,
					],
				]),
		...(paging.recoveries === 0
			? []
			: [["  recoveries", whole(paging.recoveries), `links replaced; ${whole(paging.resentPages)} pages sent again`]]),
	];
}

function roundsTable(rounds: readonly RoundFacts[]): string {
	const rows = table(["round", "to send", "sent", "skipped", "bytes", "time", "rate", "dirtied meanwhile"], 0);
	for (const { index, toSendPages, sentPages, skippedPages, sentBytes, durationMs, dirtiedPages } of rounds)
		rows.push([
			index === rounds.length ? `${index} (paused)` : String(index),
			...[whole(toSendPages), whole(sentPages), whole(skippedPages), bytes(sentBytes), milliseconds(durationMs)],
			...[rate(durationMs > 0 ? sentBytes / durationMs : 0), index === rounds.length ? "" : whole(dirtiedPages)],
		]);
	return rows.toString();
}

function clientTable(client: DemoResult["client"]): string {
	const rows = table(["client", "", ""], 1);
	rows.options.colAligns = ["left", "right", "left"];
	rows.push(
		["answers", whole(client.answers), "each number once"],
		["longest gap between answers", milliseconds(client.longestGapInMoveMs), "during the move"],
		["", milliseconds(client.longestGapOutsideMs), "when nothing moved"],
		["answers per second", whole(client.answersPerSecondBefore), "before the move"],
		["", whole(client.answersPerSecondDuring), "during it"],
		["", whole(client.answersPerSecondAfter), "after it"],
		["sent again", whole(client.resent), "unanswered when the guest moved"],
		[
			"sent twice on purpose",
			whole(client.repeated),
			`${whole(client.repeatedEqual)} answered from the guest's memory, with the first answer`,
		],
	);
	return rows.toString();
}

/** What was looked at, and what it comes to. */
type Checked = Pick<DemoResult, "checks" | "verified"> & { readonly outcome: string };

function checkList({ checks, verified, outcome }: Checked): string {
	const lines = checks.map(({ name, ok, detail }) => `${ok ? "ok  " : "FAIL"} ${name.padEnd(12)} ${detail}`);
	const sentence =
		outcome === "moved"
			? verified
				? "moved and verified"
				: "moved, but NOT verified"
			: outcome === "revived"
				? "not moved: the target died, and the guest runs on at the source from its last checkpoint; the move can be tried again"
				: outcome !== "kept"
					? `${outcome}, and NOT verified`
					: "not moved: the guest was kept at the source and goes on there; the move can be tried again";
	return [...lines, "", sentence].join("\n");
}
