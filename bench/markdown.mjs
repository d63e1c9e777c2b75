// Writes benches' tables into a page: each into its own section, so that a run of one bench refreshes one table and leaves
// the rest, prose included, as it is.
//
//   <!-- bench: page compare -->      everything between the two lines is generated
//   <!-- /bench -->
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const opening = (title) => `<!-- bench: ${title} -->`;
const CLOSING = "<!-- /bench -->";

/** Three digits that mean something; sizes in whole bytes. */
function figure(value, unit) {
	if (value === null || value === undefined) return "";
	if (unit === "B") return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, " ");
	return Number(value.toPrecision(3)).toString();
}

function verdict({ ratio, goal }) {
	if (goal === undefined || ratio === null) return "";
	return ratio >= goal ? `≥ ${goal}` : `≥ ${goal}, **below**`;
}

/** @returns one bench's section, heading and table */
function section({ title, rows, conditions }) {
	const cells = rows.map((row) => [
		row.name,
		figure(row.value, row.unit),
		row.unit,
		row.peer ?? "",
		figure(row.peerValue, row.unit),
		row.ratio === null || row.ratio === undefined ? "" : row.ratio.toFixed(2),
		verdict(row),
	]);
	const line = (texts) => `| ${texts.join(" | ")} |`;
	return [
		opening(title),
		`### ${title}`,
		"",
		`${conditions}.`,
		"",
		line(["what", "ours", "unit", "beside", "theirs", "ratio", "wanted"]),
		"| --- | ---: | --- | --- | ---: | ---: | --- |",
		...cells.map(line),
		CLOSING,
	].join("\n");
}

/**
 * Puts results into a page. A section that the page does not have yet goes to its end.
 *
 * @param file Markdown, made if it is not there
 * @param results `{ title, rows, conditions }` of each bench; conditions: machine and load, one line
 */
export function writeMarkdown(file, results) {
	let text = existsSync(file) ? readFileSync(file, "utf8") : "# Benchmarks\n";
	for (const result of results) {
		const made = section(result);
		const from = text.indexOf(opening(result.title));
		const to = text.indexOf(CLOSING, from);
		if (from >= 0 && to < 0) throw new Error(`${file}: the section of ${result.title} has no end`);
		text = from < 0 ? `${text.trimEnd()}\n\n${made}\n` : text.slice(0, from) + made + text.slice(to + CLOSING.length);
	}
	writeFileSync(file, text);
}
