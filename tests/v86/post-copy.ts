// Moves v86 guests into workers, where they run before their pages are there. What is missing is no zeros: before the move's first
// page comes, the target's RAM is filled with bytes that make any use of a missing page felt.
import { BATCH_LIMIT_PAGES, BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveServices } from "../../bindings/migration/move.ts";
import { type PostCopyOptions, postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { type ReceiveResult, receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { type Guest, type GuestFactory, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Link } from "../../bindings/ports/link.ts";
import type { Console } from "./move.ts";
import { workerFactory } from "./worker-guests.ts";

/** The ways in which pages follow. Demand paging pushes in the end, or the rest would never come. */
export const PUSH_ORDERS: Readonly<Record<string, PushOrder>> = {
	"demand paging": demandPaging(100),
	"active push": activePush(),
	"prepaging, one pivot": prepaging({ pivots: 1 }),
	prepaging: prepaging(),
};

/** Techniques that leave pages for later. */
const LEAVING = {
	"post-copy": postCopy,
	hybrid,
	/** Turns into post-copy after two rounds. */
	"pre-copy": (services: MoveServices, options: PostCopyOptions) =>
		preCopy(services, {
			...options,
			whenNotConverging: "post-copy",
			convergence: ({ rounds }) => (rounds.length >= 2 ? "given-up" : undefined),
		}),
} as const;

/** Never zero, and no present page-table entry: bit 0 is clear. */
const GARBAGE = 0xaa;

/** Fills a paused target's RAM. */
export async function fillWithGarbage(target: Guest): Promise<void> {
	const encoder = new BatchEncoder(createEngine());
	const { pageCount } = target.pages;
	const bytes = new Uint8Array(pageCount * PAGE_BYTES).fill(GARBAGE);
	for (let first = 0; first < pageCount; first += BATCH_LIMIT_PAGES) {
		const count = Math.min(BATCH_LIMIT_PAGES, pageCount - first);
		const pageIndices = Uint32Array.from({ length: count }, (_, at) => first + at);
		const { bytes: encoded, checksum } = encoder.encode({
			...{ pageIndices, compress: true, into: "fresh" },
			source: { kind: "memory", bytes },
		} as const);
		await target.pages.apply({ bytes: Uint8Array.from(encoded), checksum });
	}
}

/** A factory whose targets are ready to go wrong. @param console - follows each from before it runs */
export function garbageFactory(console?: Console, factory: GuestFactory = workerFactory()): GuestFactory {
	return {
		kind: factory.kind,
		check: factory.check.bind(factory),
		missing: factory.missing.bind(factory),
		setUp: async (...request) => {
			const prepared = await factory.setUp(...request);
			if (prepared.guest instanceof V86WorkerGuest) console?.follow(prepared.guest);
			await fillWithGarbage(prepared.guest);
			return prepared;
		},
	};
}

/** A move whose target runs, and whose pages are still coming. */
export interface Leaving {
	readonly received: ReceiveResult;
	/** Defined where the target runs. */
	readonly target: V86WorkerGuest | undefined;
	/** The source's end. */
	readonly link: Link;
	/** Settles when every page has come. */
	readonly moving: Promise<PostCopyResult>;
}

/** Starts a move; returns when the target runs, or will not. */
export async function leave(
	guest: Guest,
	technique: keyof typeof LEAVING,
	{
		console,
		options = {},
		factory = garbageFactory(console),
	}: { readonly console?: Console; readonly options?: PostCopyOptions; readonly factory?: GuestFactory } = {},
): Promise<Leaving> {
	const [near, far] = openLinkPair();
	const receiving = receiveGuest({ link: far, factories: [factory], clock: systemClock });
	const services = { guest, link: near, clock: systemClock, random: systemRandom };
	// Zero pages that are left out would be garbage at the target.
	const moving = LEAVING[technique](services, { leaveOutZeroPages: false, ...options });
	const received = await receiving;
	const target =
		received.outcome === "running" && received.guest instanceof V86WorkerGuest ? received.guest : undefined;
	return { received, target, link: near, moving };
}
