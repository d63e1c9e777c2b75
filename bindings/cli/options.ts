/** The demo's options: words in, checked values out. */
import { parseArgs } from "node:util";
import type { FollowingPagesOptions } from "../migration/following-pages.ts";
import type { TechniqueName, Verification } from "../migration/metrics.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../policies/push-order.ts";
import { WORKLOADS, type Workload } from "./workloads.ts";

/** The command was called wrongly: exit code 2. */
export class UsageError extends Error {
	override readonly name = "UsageError";
	readonly code = "usage";
}

/** By what pages that follow the guest take their positions. */
export type PositionOrder = NonNullable<FollowingPagesOptions["order"]>;

/** Where a host runs. */
export type RuntimeName = "node" | "deno";

/** What `pageferry demo` does. */
export interface DemoOptions {
	readonly program: Workload;
	readonly technique: TechniqueName;
	/** Of post-copy and hybrid: in which order pages follow the guest. */
	readonly push: PushOrder | undefined;
	/** Likewise: by what pages take their positions. */
	readonly order: PositionOrder | undefined;
	/** Likewise: the target's changes come back, so that the guest survives it. */
	readonly checkpoints: boolean;
	readonly from: RuntimeName;
	readonly to: RuntimeName;
	readonly link: "tcp" | "unix";
	/** Ballast in the guest, in MiB. */
	readonly memoryMiB: number;
	/** Requests per second; 0: as fast as answers come. */
	readonly load: number;
	/** Half of them before the move, half after it. */
	readonly requests: number;
	readonly verification: Verification;
	readonly bandwidthBytesPerMs: number | undefined;
	readonly jsonFile: string | undefined;
}

const RUNTIMES: readonly RuntimeName[] = ["node", "deno"];
const LINKS: readonly ("tcp" | "unix")[] = ["tcp", "unix"];
const VERIFICATIONS: readonly Verification[] = ["transport", "full"];
export const TECHNIQUES: readonly TechniqueName[] = ["pre-copy", "stop-and-copy", "post-copy", "hybrid"];
/** Techniques whose pages follow the guest. */
const PUSHING: readonly TechniqueName[] = ["post-copy", "hybrid"];
/** A guest that never touches some pages would be moving for ever: afterwards they are pushed, in ms from the switch. */
const DEMAND_MS = 3000;
const ORDERS: readonly PositionOrder[] = ["address", "lru"];
/** By the name of `--push`. */
const PUSH_ORDERS: ReadonlyMap<string, PushOrder> = new Map([
	["demand", demandPaging(DEMAND_MS)],
	["active", activePush()],
	["prepaging", prepaging()],
	["turns", prepaging({ order: "turns" })],
]);

/** A wasm memory ends at 4 GiB, and the program needs some of it. */
const MAX_MEMORY_MIB = 3584;
const MAX_LOAD = 100_000;
const MAX_REQUESTS = 10_000_000;
/** Seconds that the client works on each side of the move by default. */
const DEFAULT_HALF_S = 3;
const DEFAULT_LOAD = 500;
/** Requests by default where no rate says how long they take. */
const DEFAULT_UNPACED_REQUESTS = 20_000;

const OPTIONS = {
	program: { type: "string", default: "sqlite" },
	technique: { type: "string", default: "pre-copy" },
	push: { type: "string" },
	order: { type: "string" },
	checkpoints: { type: "boolean", default: false },
	from: { type: "string", default: "node" },
	to: { type: "string", default: "node" },
	link: { type: "string", default: "tcp" },
	memory: { type: "string", default: "64" },
	load: { type: "string", default: String(DEFAULT_LOAD) },
	requests: { type: "string" },
	verification: { type: "string", default: "full" },
	bandwidth: { type: "string" },
	json: { type: "string" },
} as const;

/** @throws {UsageError} */
export function parseDemoOptions(args: readonly string[]): DemoOptions {
	const { values } = parseWords(args);
	const load = wholeNumber("--load", values.load, 0, MAX_LOAD);
	const usual = load === 0 ? DEFAULT_UNPACED_REQUESTS : Math.max(2, 2 * DEFAULT_HALF_S * load);
	const technique = oneOf("--technique", values.technique, TECHNIQUES);
	return {
		program: workload(values.program),
		technique,
		push: pushOrder(values.push, technique),
		order:
			values.order === undefined ? undefined : following("--order", technique, oneOf("--order", values.order, ORDERS)),
		checkpoints: values.checkpoints && following("--checkpoints", technique, true),
		from: oneOf("--from", values.from, RUNTIMES),
		to: oneOf("--to", values.to, RUNTIMES),
		link: oneOf("--link", values.link, LINKS),
		memoryMiB: wholeNumber("--memory", values.memory, 0, MAX_MEMORY_MIB),
		load,
		requests: values.requests === undefined ? usual : wholeNumber("--requests", values.requests, 2, MAX_REQUESTS),
		verification: oneOf("--verification", values.verification, VERIFICATIONS),
		bandwidthBytesPerMs: values.bandwidth === undefined ? undefined : megabytes(values.bandwidth),
		jsonFile: values.json,
	};
}

function parseWords(args: readonly string[]): { readonly values: Words } {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: false });
	} catch (cause) {
		const message = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
		throw new UsageError(message.replace(/\. To specify .*$/, ""), { cause });
	}
}

type Words = {
	readonly [Name in keyof typeof OPTIONS as (typeof OPTIONS)[Name] extends { default: string } ? Name : never]: string;
} & {
	readonly checkpoints: boolean;
	readonly push?: string;
	readonly order?: string;
	readonly requests?: string;
	readonly bandwidth?: string;
	readonly json?: string;
};

function workload(name: string): Workload {
	const found = WORKLOADS.get(name);
	if (found === undefined) throw unknownValue("--program", name, [...WORKLOADS.keys()]);
	return found;
}

/** The value of `--push`. @throws {UsageError} */
export function pushOrder(name: string | undefined, technique: TechniqueName): PushOrder | undefined {
	if (name === undefined) return undefined;
	const order = PUSH_ORDERS.get(name);
	if (order === undefined) throw unknownValue("--push", name, [...PUSH_ORDERS.keys()]);
	if (!pagesFollow(technique))
		throw new UsageError(
			`--push ${name}: ${technique} leaves no pages to push; use --technique ${PUSHING.join(" or ")}`,
		);
	return order;
}

/** Whether the target runs before its pages have come. */
export function pagesFollow(technique: TechniqueName): boolean {
	return PUSHING.includes(technique);
}

/** Of techniques whose pages follow the guest. */
function following<Value>(option: string, technique: TechniqueName, value: Value): Value {
	if (pagesFollow(technique)) return value;
	throw new UsageError(
		`${option}: ${technique} leaves no pages to follow the guest; use --technique ${PUSHING.join(" or ")}`,
	);
}

function oneOf<Value extends string>(option: string, given: string, allowed: readonly Value[]): Value {
	const found = allowed.find((value) => value === given);
	if (found === undefined) throw unknownValue(option, given, allowed);
	return found;
}

function unknownValue(option: string, given: string, allowed: readonly string[]): UsageError {
	return new UsageError(`${option} ${given}: unknown; use ${allowed.join(" or ")}`);
}

function wholeNumber(option: string, text: string, minimum: number, maximum: number): number {
	const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
	if (!(value >= minimum && value <= maximum))
		throw new UsageError(`${option} ${text}: must be a whole number from ${minimum} to ${maximum}`);
	return value;
}

/** MB/s to bytes per ms. */
function megabytes(text: string): number {
	const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
	if (!(value > 0)) throw new UsageError(`--bandwidth ${text}: must be a number of MB/s above 0`);
	return value * 1000;
}
