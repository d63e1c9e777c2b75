/** The options of `pageferry demo --guest v86|qemu`: words in, checked values out. */
import { parseArgs } from "node:util";
import type { TechniqueName, Verification } from "../migration/metrics.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { MachineName } from "./machine-messages.ts";
import { pagesFollow, pushOrder, type RuntimeName, TECHNIQUES, UsageError } from "./options.ts";

/** What the demo does. */
export interface MachineDemoOptions {
	readonly guest: MachineName;
	readonly technique: TechniqueName;
	/** Of post-copy and hybrid: in which order pages follow the guest. */
	readonly push: PushOrder | undefined;
	readonly from: RuntimeName;
	readonly to: RuntimeName;
	readonly verification: Verification;
	readonly bandwidthBytesPerMs: number | undefined;
	readonly jsonFile: string | undefined;
}

const OPTIONS = {
	guest: { type: "string" },
	technique: { type: "string", default: "pre-copy" },
	push: { type: "string" },
	from: { type: "string", default: "node" },
	to: { type: "string", default: "node" },
	verification: { type: "string", default: "full" },
	bandwidth: { type: "string" },
	json: { type: "string" },
} as const;

/** Why a machine cannot run at the target before its pages have come; a machine that can is not here. */
const CANNOT_WAIT: Readonly<Partial<Record<MachineName, string>>> = {
	qemu: "a Linux under QEMU cannot wait for pages, because that needs the system's userfaultfd",
};

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
	const technique = oneOf("--technique", values.technique, TECHNIQUES);
	const obstacle = CANNOT_WAIT[guest];
	if (pagesFollow(technique) && obstacle !== undefined)
		throw new UsageError(`--guest ${guest} --technique ${technique}: ${obstacle}; use pre-copy or stop-and-copy`);
	return {
		guest,
		technique,
		push: pushOrder(values.push, technique),
		from: oneOf("--from", values.from, ["node", "deno"]),
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
