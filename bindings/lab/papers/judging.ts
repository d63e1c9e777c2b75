/** How the rows of a report make its verdict. */
import type { ReportRow, Verdict } from "./report.ts";

/** Reproduced if every row is; not, if none is better; else partly. */
export function worst(rows: readonly ReportRow[]): Verdict {
	if (rows.every(({ verdict }) => verdict === "reproduced")) return "reproduced";
	return rows.every(({ verdict }) => verdict === "not") ? "not" : "partly";
}
