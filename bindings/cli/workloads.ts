/**
 * The demo's programs and what its client asks of them. Every request changes the guest and answers with what it found, so
 * a request that was executed twice, or never, shows in every later answer.
 */

/** A program and its requests. */
export interface Workload {
	readonly name: string;
	/** The npm package that the program wraps. */
	readonly packageName: string;
	/** For people. */
	readonly title: string;
	/** The request of a number, from 1. The same on every run. */
	readonly request: (number: number) => string;
}

const CUSTOMERS = 97;

/** A number's order: mixed so that neighbours differ, and the same on every run. */
function order(number: number): { readonly customer: number; readonly cents: number } {
	const mixed = Math.imul(number, 0x9e3779b1) >>> 0;
	return { customer: mixed % CUSTOMERS, cents: 100 + ((mixed >>> 8) % 9900) };
}

function sqliteRequest(number: number): string {
	if (number === 1)
		return "CREATE TABLE orders (number INTEGER PRIMARY KEY, customer INTEGER, cents INTEGER); CREATE INDEX by_customer ON orders (customer, cents)";
	const { customer, cents } = order(number);
	return `INSERT INTO orders VALUES (${number}, ${customer}, ${cents}); SELECT count(*), sum(cents), max(cents) FROM orders WHERE customer = ${customer}`;
}

function quickJsRequest(number: number): string {
	if (number === 1) return "globalThis.accounts = {}; globalThis.orders = []; 'open'";
	const { customer, cents } = order(number);
	return `orders.push(${cents}); accounts[${customer}] = (accounts[${customer}] ?? 0) + ${cents}; [orders.length, accounts[${customer}]]`;
}

function luaRequest(number: number): string {
	if (number === 1) return "data.accounts = {} data.orders = 0 return 'open'";
	const { customer, cents } = order(number);
	return `data.orders = data.orders + 1 data.accounts[${customer}] = (data.accounts[${customer}] or 0) + ${cents} return { data.orders, data.accounts[${customer}] }`;
}

/** By name. */
export const WORKLOADS: ReadonlyMap<string, Workload> = new Map(
	[
		{ name: "sqlite", packageName: "sql.js", title: "SQLite", request: sqliteRequest },
		{ name: "quickjs", packageName: "quickjs-emscripten", title: "QuickJS", request: quickJsRequest },
		{ name: "lua", packageName: "wasmoon", title: "Lua", request: luaRequest },
	].map((workload) => [workload.name, workload]),
);
