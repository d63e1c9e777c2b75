/**
 * The lab's results as one HTML page: the tables, and the papers' figures redrawn as SVG on the server side. Readable
 * without colour: lines differ by dashes and symbols, bars by patterns.
 */
import { BarChart, LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { ReportFigure } from "../lab/papers/report.ts";
import type { LabOutcome } from "./lab-outcome.ts";

use([BarChart, LineChart, AriaComponent, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const WIDTH = 760;
const HEIGHT = 400;
const DASHES = ["solid", "dashed", "dotted", [12, 3, 3, 3], [2, 6], [16, 6], [6, 2, 2, 2, 2, 2], [20, 4]] as const;
const SYMBOLS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "emptyDiamond"];
/** Dark enough on white, and apart in grey. */
const COLOURS = ["#000000", "#1f5fa8", "#a83a1f", "#2e7d32", "#6a3a9c", "#7a6a00", "#00696b", "#8c1d5b"];

/** The page. */
export function labPage(outcomes: readonly LabOutcome[]): string {
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pageferry lab</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 } td, th { border-bottom: 1px solid #bbb; padding: .15rem .6rem; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } figure { margin: 1rem 0 } svg { max-width: 100%; height: auto }
</style></head><body>
<h1>The papers in the lab</h1>
${summary(outcomes)}
${outcomes.map(section).join("\n")}
</body></html>
`;
}

function summary(outcomes: readonly LabOutcome[]): string {
	const rows = outcomes.map(
		({ experiment: { id, title }, report }) =>
			`<tr><td><a href="#${id}">${id}</a></td><td>${escaped(title)}</td><td>${report.verdict}</td></tr>`,
	);
	return `<table><tr><th>id</th><th>the paper's result</th><th>verdict</th></tr>${rows.join("")}</table>`;
}

function section({ experiment, report }: LabOutcome): string {
	const rows = report.rows.map(
		({ point, paper, ours, error, verdict }) =>
			`<tr><td>${escaped(point)}</td>${[paper, ours].map((value) => `<td class="number">${escaped(String(value))}</td>`).join("")}<td class="number">${error === undefined ? "" : `${(error * 100).toFixed(1)} %`}</td><td>${verdict}</td></tr>`,
	);
	return `<h2 id="${experiment.id}">${experiment.id}: ${escaped(experiment.title)}</h2>
<p><strong>${report.verdict}</strong>: ${escaped(report.reason)}</p><p>Fitted: ${escaped(report.fitted)}</p>
${report.figures.map((figure) => `<figure>${drawFigure(figure)}</figure>`).join("\n")}
<table><tr><th>point</th><th>paper</th><th>ours</th><th>error</th><th>verdict</th></tr>${rows.join("\n")}</table>`;
}

/** One figure as SVG. */
function drawFigure(figure: ReportFigure): string {
	const chart = init(null, undefined, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
	try {
		chart.setOption(chartOptions(figure));
		return chart.renderToSVGString();
	} finally {
		chart.dispose();
	}
}

function chartOptions({
	title,
	xLabel,
	yLabel,
	logarithmic,
	categories,
	series,
}: ReportFigure): Parameters<ReturnType<typeof init>["setOption"]>[0] {
	return {
		animation: false,
		backgroundColor: "#ffffff",
		color: COLOURS,
		aria: { enabled: true, decal: { show: categories !== undefined } },
		title: { text: title, textStyle: { fontSize: 14, fontWeight: "normal" } },
		legend: { top: 24, itemWidth: 44, type: "plain" },
		grid: { top: 84, left: 80, right: 24, bottom: 52 },
		xAxis: {
			type: categories === undefined ? "value" : "category",
			...(categories === undefined ? {} : { data: [...categories] }),
			name: xLabel,
			nameLocation: "middle",
			nameGap: 30,
		},
		yAxis: {
			type: logarithmic === true ? "log" : "value",
			name: yLabel,
			nameLocation: "middle",
			nameGap: 60,
		},
		series: series.map(({ name, points }, i) =>
			categories === undefined
				? {
						...{ type: "line", name, data: points.map(([x, y]) => [x, logarithmic === true ? Math.max(y, 0.1) : y]) },
						...{ symbol: SYMBOLS[i % SYMBOLS.length], symbolSize: 7 },
						lineStyle: { type: DASHES[i % DASHES.length], width: 2 },
					}
				: { type: "bar", name, data: categories.map((_, at) => points.find(([x]) => x === at)?.[1] ?? 0) },
		),
	};
}

function escaped(text: string): string {
	return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
