/**
 * What the processes of `pageferry demo --guest v86|qemu` say to each other. Each of them has, or takes, one machine; the
 * connection that it is told by is its leash: when that ends, so do the machine and the process.
 */
import type { MoveMetrics, MoveProgress, TechniqueName, Verification } from "../migration/metrics.ts";
import type { PagingEnd } from "../migration/paging-reception.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";

/** Whose machine it is. */
export type MachineName = "v86" | "qemu";

/** Command to process. */
export type MachineOrder = { readonly order: "boot" } | MachineStandByOrder | MachineMoveOrder;

/** A target that gets ready. */
export interface MachineStandByOrder {
	readonly order: "stand-by";
	/** Whether it has to run before its pages have come. */
	readonly faulting: boolean;
}

/** Where to, and how. */
export interface MachineMoveOrder {
	readonly order: "move";
	readonly target: StreamAddress;
	readonly technique: TechniqueName;
	/** Of post-copy and hybrid: the order in which pages follow the guest. */
	readonly push?: PushOrder;
	readonly verification: Verification;
	readonly bandwidthBytesPerMs?: number;
}

/** Process to command. */
export type MachineNews =
	| MachineHello
	/** Its machine works, or it can take one in. */
	| { readonly news: "ready"; readonly what: string }
	/** What the machine has written on its console. */
	| { readonly news: "text"; readonly text: string }
	| { readonly news: "progress"; readonly progress: MoveProgress }
	| MachineMoved
	/** How the pages that followed a guest came, or that they do not come any more. */
	| { readonly news: "paged"; readonly outcome: PagingEnd["outcome"]; readonly missingPages: number }
	| { readonly news: "failed"; readonly message: string };

/** Its first word: proof that it is the process that was started. */
export interface MachineHello {
	readonly news: "hello";
	readonly token: string;
	readonly runtime: string;
	/** Where it takes guests. */
	readonly door: StreamAddress;
}

/** How a move ended, in the source's words. */
export interface MachineMoved {
	readonly news: "move";
	readonly outcome: string;
	readonly metrics: MoveMetrics;
	readonly failure: string | undefined;
}
