// Real memory: of a WebAssembly program (SQLite at work) and of a live process (this one), each twice, some work apart.
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import initSqlJs from "sql.js";
import { PAGE } from "./synthetic.ts";

/** The same pages, before and after. Whole pages, as many of both. */
export interface Dumps {
	readonly name: string;
	readonly before: Uint8Array<ArrayBuffer>;
	readonly after: Uint8Array<ArrayBuffer>;
}

/** Leaves out the pages that are zero before. */
function withoutZeros({ name, before, after }: Dumps): Dumps {
	const kept: number[] = [];
	for (let at = 0; at < before.length; at += PAGE)
		if (before.subarray(at, at + PAGE).some((byte) => byte !== 0)) kept.push(at);
	const pick = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
		const picked = new Uint8Array(kept.length * PAGE);
		for (const [position, at] of kept.entries()) picked.set(bytes.subarray(at, at + PAGE), position * PAGE);
		return picked;
	};
	return { name, before: pick(before), after: pick(after) };
}

/** SQLite in WebAssembly: a table is filled, dumped, then updated here and there and dumped again. */
export async function sqliteDumps(limitBytes: number, zeros = false): Promise<Dumps> {
	const bytes = readFileSync(createRequire(import.meta.url).resolve("sql.js/dist/sql-wasm.wasm"));
	const module = await WebAssembly.compile(bytes);
	let memory: WebAssembly.Memory | undefined;
	const sql = await initSqlJs({
		instantiateWasm: (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
			const instance = new WebAssembly.Instance(module, imports);
			memory = Object.values(instance.exports).find((value) => value instanceof WebAssembly.Memory);
			done(instance);
			return instance.exports;
		},
	});
	const database = new sql.Database();
	// sql.js keeps its file outside the WebAssembly memory: with a large cache the pages are worked on inside.
	database.run("pragma cache_size = -200000; pragma journal_mode = memory");
	database.run("create table parts (id integer primary key, name text, price real, note text)");
	const rows = Math.min(60_000, limitBytes / 160);
	database.run("begin");
	const insert = database.prepare("insert into parts values (?, ?, ?, ?)");
	for (let id = 0; id < rows; id++)
		insert.run([
			id,
			`part ${(id * 7919) % 10007}`,
			id * 1.37,
			`bin ${id % 97}, checked by hand, lot ${(id * 31) % 4096}`,
		]);
	insert.free();
	database.run("commit; create index by_name on parts (name)");
	const dump = (byteLength: number): Uint8Array<ArrayBuffer> => new Uint8Array(memory!.buffer.slice(0, byteLength));
	const byteLength = Math.floor(Math.min(memory!.buffer.byteLength, limitBytes) / PAGE) * PAGE;
	const before = dump(byteLength);
	const update = database.prepare("update parts set price = price + 1 where id = ?");
	for (let i = 0; i < rows / 20; i++) update.run([(i * 7907) % rows]);
	update.free();
	database.exec("select count(*), avg(price) from parts where name like 'part 1%'");
	const after = dump(byteLength);
	database.close();
	const dumps = { name: "SQLite", before, after };
	return zeros ? dumps : withoutZeros(dumps);
}

interface Range {
	readonly start: number;
	readonly end: number;
}

/** Private writable memory: heaps, stacks, the data of libraries. */
function writableRanges(): Range[] {
	return readFileSync("/proc/self/maps", "utf8")
		.split("\n")
		.flatMap((line) => {
			const match = /^([0-9a-f]+)-([0-9a-f]+) rw.p/.exec(line);
			return match === null ? [] : [{ start: Number.parseInt(match[1]!, 16), end: Number.parseInt(match[2]!, 16) }];
		});
}

/** Pages of the ranges that can be read, by address; pages of zeros only where wanted. */
function readPages(ranges: readonly Range[], limitBytes: number, zeros: boolean): Map<number, Uint8Array> {
	const pages = new Map<number, Uint8Array>();
	const file = openSync("/proc/self/mem", "r");
	try {
		for (const { start, end } of ranges)
			for (let at = start; at < end && pages.size * PAGE < limitBytes; at += 16 * PAGE) {
				const piece = new Uint8Array(Math.min(16 * PAGE, end - at));
				try {
					readSync(file, piece, 0, piece.length, at);
				} catch {
					continue; // reserved, not mapped
				}
				for (let offset = 0; offset < piece.length; offset += PAGE) {
					const page = piece.subarray(offset, offset + PAGE);
					if (zeros || page.some((byte) => byte !== 0)) pages.set(at + offset, page);
				}
			}
	} finally {
		closeSync(file);
	}
	return pages;
}

/**
 * @param zeros whether pages of zeros are among them: they make every coder look good
 * @returns pages of this process's heap before and after some work; undefined where there is no /proc/self/mem
 */
export function processDumps(limitBytes: number, zeros = false): Dumps | undefined {
	try {
		readFileSync("/proc/self/maps");
	} catch {
		console.log("skipped: memory of a live process (no /proc/self/mem here)");
		return undefined;
	}
	// Strings, objects and maps, as programs have them.
	const kept = new Map<string, { readonly id: number; readonly tags: string[]; price: number }>();
	for (let id = 0; id < Math.min(200_000, limitBytes / 256); id++)
		kept.set(`order-${id}`, { id, tags: [`customer ${id % 977}`, "open"], price: id / 7 });
	const ranges = writableRanges();
	const before = readPages(ranges, limitBytes, zeros);
	let i = 0;
	for (const order of kept.values()) if (i++ % 50 === 0) order.price += 1;
	const after = readPages(ranges, limitBytes * 2, zeros);
	const addresses = [...before.keys()].filter((address) => after.has(address));
	const join = (pages: Map<number, Uint8Array>): Uint8Array<ArrayBuffer> => {
		const joined = new Uint8Array(addresses.length * PAGE);
		for (const [position, address] of addresses.entries()) joined.set(pages.get(address)!, position * PAGE);
		return joined;
	};
	return { name: "Node heap", before: join(before), after: join(after) };
}

/** All real memory that this machine can give. */
export async function realDumps(limitBytes: number, zeros = false): Promise<Dumps[]> {
	const process = processDumps(limitBytes, zeros);
	return [await sqliteDumps(limitBytes, zeros), ...(process === undefined ? [] : [process])];
}
