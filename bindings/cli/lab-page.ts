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
const HEIGHT = 420;
const DASHES = ["solid", "dashed", "dotted", [12, 3, 3, 3], [2, 6], [16, 6], [6, 2, 2, 2, 2, 2], [20, 4]] as const;
const SYMBOLS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "emptyDiamond"];
/** Dark enough on white, and apart in grey. */
const COLOURS = ["#000000", "#1f5fa8", "#a83a1f", "#2e7d32", "#6a3a9c", "#7a6a00", "#00696b", "#8c1d5b"];

/** Of bars: from dark to light, so that grey tells them apart as well, under patterns. */
const FILLS = ["#4d4d4d", "#d9d9d9", "#9cc3e6", "#ffffff", "#f2c6a0", "#b7dfb9", "#cfc0e3", "#e6dca0"];
/** One for each fill, in its order: none, dots, stripes one way, the other way, chequers, wide stripes. */
const DECALS = [
	{ symbol: "none" },
	{
		symbol: "circle",
		symbolSize: 0.7,
		dashArrayX: [
			[8, 8],
			[0, 8, 8, 0],
		],
		dashArrayY: [6, 0],
		color: "rgba(0,0,0,0.6)",
	},
	{ symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: Math.PI / 4, color: "rgba(0,0,0,0.6)" },
	{ symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: -Math.PI / 4, color: "rgba(0,0,0,0.6)" },
	{
		symbol: "rect",
		symbolSize: 1,
		dashArrayX: [
			[8, 8],
			[0, 8, 8, 0],
		],
		dashArrayY: [8, 0],
		color: "rgba(0,0,0,0.35)",
	},
	{ symbol: "rect", dashArrayX: [1, 0], dashArrayY: [5, 5], color: "rgba(0,0,0,0.5)" },
];
const FONT = "sans-serif";
const LEGEND_TOP = 38;
const LEGEND_ROW = 32;
const LEGEND_SYMBOL = 44;
const LEGEND_GAP = 18;
/** Mean width of a character of the legend, in pixels, on the wide side. */
const CHARACTER_WIDTH = 7.2;

/** Rows that the legend's entries fill. */
function legendRows(series: ReportFigure["series"]): number {
	let rows = 1;
	let used = 0;
	for (const { name } of series) {
		const width = LEGEND_SYMBOL + 8 + name.length * CHARACTER_WIDTH + LEGEND_GAP;
		if (used + width > WIDTH && used > 0) {
			rows++;
			used = 0;
		}
		used += width;
	}
	return rows;
}

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
		color: categories === undefined ? COLOURS : FILLS,
		textStyle: { fontFamily: FONT },
		aria: { enabled: true, decal: { show: categories !== undefined, decals: DECALS } },
		title: { text: title, left: 0, textStyle: { fontSize: 14, fontWeight: "normal", fontFamily: FONT } },
		legend: {
			top: LEGEND_TOP,
			left: 0,
			itemWidth: LEGEND_SYMBOL,
			itemGap: LEGEND_GAP,
			type: "plain",
			textStyle: { fontFamily: FONT },
		},
		grid: { top: LEGEND_TOP + legendRows(series) * LEGEND_ROW + 12, left: 80, right: 24, bottom: 52 },
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
				: {
						type: "bar",
						name,
						itemStyle: { borderColor: "#000000", borderWidth: 1 },
						data: categories.map((_, at) => points.find(([x]) => x === at)?.[1] ?? 0),
					},
		),
	};
}

function escaped(text: string): string {
	return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
