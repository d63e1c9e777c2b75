// Runs one bundled bench and sends its rows to bench/run.mjs.
import process from "node:process";
import { pathToFileURL } from "node:url";

const [file, options] = process.argv.slice(2);
try {
	const bench = await import(pathToFileURL(file).href);
	const rows = await bench.rows(JSON.parse(options));
	process.send({ title: bench.title, rows }, () => process.exit(0));
} catch (error) {
	process.send({ error: error?.stack ?? String(error) }, () => process.exit(1));
}
