/** The options of `pageferry demo --guest v86|qemu`: words in, checked values out. */
import { parseArgs } from "node:util";
import type { Verification } from "../migration/metrics.ts";
import { type RuntimeName, UsageError } from "./options.ts";

/** What the demo does. */
export interface MachineDemoOptions {
	readonly guest: "v86" | "qemu";
	readonly technique: "pre-copy" | "stop-and-copy";
	/** A v86 machine starts in the command itself, on Node. */
	readonly from: RuntimeName;
	readonly to: RuntimeName;
	readonly verification: Verification;
	readonly bandwidthBytesPerMs: number | undefined;
	readonly jsonFile: string | undefined;
}

const OPTIONS = {
	guest: { type: "string" },
	technique: { type: "string", default: "pre-copy" },
	from: { type: "string", default: "node" },
	to: { type: "string", default: "node" },
	verification: { type: "string", default: "full" },
	bandwidth: { type: "string" },
	json: { type: "string" },
} as const;

/** Whether another guest than the usual WebAssembly program is asked for. */
export function asksForGuest(args: readonly string[]): boolean {
	return args.some((word) => word === "--guest" || word.startsWith("--guest="));
}

/** @throws {UsageError} */
export function parseMachineDemoOptions(args: readonly string[]): MachineDemoOptions {
	let values: Record<string, string | undefined>;
	try {
		values = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: false }).values;
	} catch (cause) {
		throw new UsageError(`${cause instanceof Error ? cause.message.split("\n")[0] : cause} (with --guest)`, {
			cause,
		});
	}
	const { bandwidth } = values;
	const rate = bandwidth === undefined ? undefined : Number(bandwidth) * 1000;
	if (rate !== undefined && !(rate > 0))
		throw new UsageError(`--bandwidth ${bandwidth}: must be a number of MB/s above 0`);
	const guest = oneOf("--guest", values.guest, ["v86", "qemu"]);
	const from = oneOf("--from", values.from, ["node", "deno"]);
	if (guest === "v86" && from !== "node")
		throw new UsageError(`--from ${from}: a Linux in v86 starts in the command itself, on Node`);
	return {
		guest,
		from,
		technique: oneOf("--technique", values.technique, ["pre-copy", "stop-and-copy"]),
		to: oneOf("--to", values.to, ["node", "deno"]),
		verification: oneOf("--verification", values.verification, ["transport", "full"]),
		bandwidthBytesPerMs: rate,
		jsonFile: values.json,
	};
}

function oneOf<Value extends string>(option: string, given: string | undefined, allowed: readonly Value[]): Value {
	const found = allowed.find((value) => value === given);
	if (found === undefined) throw new UsageError(`${option} ${given}: with --guest use ${allowed.join(" or ")}`);
	return found;
}
