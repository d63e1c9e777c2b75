/**
 * Lazy restore: the guest runs at once, its pages come from the store when it touches them, the rest behind its back in the
 * order in which an earlier run touched them.
 *
 *   check ─▶ set-up (able to wait for pages) ─▶ pinned pages ─▶ state ─▶ all others missing ─▶ told ─▶ runs
 *                                                                   pages.load: touched first, the rest ahead ─▶ done
 *
 * Guarantee: the guest never sees other bytes than were saved: each batch is compared with the snapshot's table before it is
 * installed. Cost: until {@link LazyRestored.done} the guest needs the store; if that fails, the guest waits where it touches
 * what has not come (`pages.load` tries again, `guest.discard` gives up), and it can be neither moved nor saved. The
 * snapshot must not be deleted before that.
 *
 * Needs a guest that can run while pages are missing; any other is refused by name.
 *
 * Source: spec section 2 and the anchors (QEMU's fast snapshot load, Firecracker's and Cloud Hypervisor's restore over
 * userfaultfd, REAP's recorded order), over the paging of post-copy.
 */
import { withDeadline } from "../handover/phases.ts";
import { activePush, type PushOrder, prepaging } from "../policies/push-order.ts";
import { type FaultingGuest, isFaultingGuest } from "../ports/faulting-guest.ts";
import { type Guest, MAX_BATCH_PAGES, type PageBits } from "../ports/guest.ts";
import type { AccessOrder, AccessOrders } from "./access-order.ts";
import { LazyPages, type LazyReport } from "./lazy-pages.ts";
import type { RestoreOptions, RestoreServices } from "./restore.ts";
import { RestoreError, toRestoreError } from "./restore-error.ts";
import { checkPolicy, type PolicyReport } from "./restore-policy.ts";
import type { SnapshotReader } from "./store-reader.ts";
import { discardAll, factoryFor, restoreFacts, setUpTargets, tellGuest } from "./target-guest.ts";

/** What a lazy restore works with. */
export interface LazyRestoreServices extends RestoreServices {
	/** Where the order of earlier runs is kept, and that of this one will be. */
	readonly accessOrders?: AccessOrders;
}

/** How to restore lazily. */
export interface LazyRestoreOptions extends Omit<RestoreOptions, "onProgress"> {
	/** How the rest comes: in the recorded order, or (where there is none) in bubbles around what the guest touches. */
	readonly prefetch?: PushOrder;
}

/** A guest that runs while its pages are still coming. */
export interface LazyRestored {
	readonly guest: Guest;
	readonly generation: string;
	readonly policy: PolicyReport;
	/** Where the prefetch order comes from. */
	readonly order: AccessOrder["origin"];
	/** Memory allocated and touched, code compiled, in ms. */
	readonly setupMs: number;
	/** From the set-up's end until the guest ran (or could have), in ms. */
	readonly activationMs: number;
	/** Pages that were missing when it began to run. */
	readonly missingPages: number;
	/** What has come so far; `load` goes on after a failure. */
	readonly pages: LazyPages;
	/**
	 * Resolves when every page is here, with what the run has needed; the order is then recorded, if there is a place for it.
	 * @throws {RestoreError} when pages cannot be brought: see the head of this file.
	 */
	readonly done: Promise<LazyReport & { readonly isOrderKept: boolean }>;
}

/**
 * Restores one guest lazily.
 *
 * @throws {RestoreError} nothing runs and nothing is left behind. TypeError for a policy that is not stated.
 *
 * @example
 * ```ts
 * import { MemoryGuest, MemoryGuestFactory } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { AccessOrders } from "./access-order.ts";
 * import { lazyRestore } from "./lazy-restore.ts";
 * import { save } from "./save.ts";
 * import { SnapshotStore } from "./store.ts";
 * const random = new SeededRandom(1);
 * const objects = new MemoryStore();
 * const store = new SnapshotStore(objects, { clock, random });
 * const { snapshot: saved } = await save({ guest: new MemoryGuest({ pageCount: 64 }), store, clock });
 * const snapshot = await store.open(saved.id);
 * const factories = [new MemoryGuestFactory(clock, 64)];
 * const accessOrders = new AccessOrders(objects, random);
 * const services = { snapshot, factories, clock, random, accessOrders };
 * const { guest, done } = await lazyRestore(services, { clock: "jump", random: "reseed" });
 * await done; // every page is here
 * await guest.discard();
 * ```
 */
export async function lazyRestore(services: LazyRestoreServices, options: LazyRestoreOptions): Promise<LazyRestored> {
	const { clock, snapshot } = services;
	checkPolicy(snapshot.layout, options);
	const begun: Guest[] = [];
	try {
		const limits = { cancel: options.signal, deadlineMs: options.deadlineMs };
		return await withDeadline(clock, limits, (signal) => begin(services, options, begun, signal));
	} catch (error) {
		await discardAll(begun);
		throw toRestoreError(error, options.signal);
	}
}

/** @param begun - gets the guest as soon as there is one, for whoever has to give it up. */
async function begin(
	services: LazyRestoreServices,
	options: LazyRestoreOptions,
	begun: Guest[],
	signal: AbortSignal,
): Promise<LazyRestored> {
	const { snapshot, clock, random } = services;
	const { guest, setupMs } = await setUp(services, signal);
	begun.push(guest);
	const startedMs = clock.now();
	const order = await readOrder(services);
	const missing = snapshot.storedPages();
	await installPinned(snapshot, guest, missing);
	await guest.state.restore(snapshot.state());
	const pages = createPages(services, options, guest, missing, order);
	await pages.begin();
	const { missingPages } = pages.report;
	const loading = pages.load(); // hooks may touch pages before the guest runs
	loading.catch(() => undefined); // seen by whoever awaits `done`, or the failure that follows here
	const facts = restoreFacts(snapshot.info.id, options, random, { index: 0, count: 1 });
	const failed = failureOf(loading); // a hook that waits for a page then waits for ever
	const policy = await Promise.race([tellGuest(guest, snapshot, facts), failed]);
	await Promise.race([options.onClone?.(guest, facts), failed]);
	signal.throwIfAborted();
	if (!options.stayPaused) await guest.resume();
	const activationMs = clock.now() - startedMs;
	const done = finish(services, pages, loading);
	done.catch(() => undefined); // the caller may look at it later
	return {
		guest,
		generation: facts.generation,
		policy,
		order: order.origin,
		setupMs,
		activationMs,
		missingPages,
		pages,
		done,
	};
}

/** Only a hint: one that cannot be read (another run has just put its own in its place, say) is as a damaged one. */
async function readOrder({ accessOrders, snapshot }: LazyRestoreServices): Promise<AccessOrder> {
	if (accessOrders === undefined) return { origin: "none" };
	return accessOrders.read(snapshot.info.id).catch(() => ({ origin: "damaged" }) as const);
}

async function setUp(
	{ snapshot, factories }: LazyRestoreServices,
	signal: AbortSignal,
): Promise<{ readonly guest: FaultingGuest; readonly setupMs: number }> {
	const factory = factoryFor(snapshot, factories, { faulting: true });
	const [target] = await setUpTargets(snapshot, factory, 1, { faulting: true, signal });
	const { guest, setupMs } = target!;
	if (isFaultingGuest(guest)) return { guest, setupMs };
	await guest.discard();
	throw new RestoreError("refused", `a ${guest.kind} guest cannot run while pages are missing: restore it in full`);
}

/** Pages that the guest cannot wait for are installed before anything else. Their bits are cleared. */
async function installPinned(snapshot: SnapshotReader, guest: FaultingGuest, missing: PageBits): Promise<void> {
	const pinned = await guest.faulting.pinned();
	const pages: number[] = [];
	// Byte by byte: hardly any guest pins a page, and page by page 512 MiB take 9 ms of the first answer.
	for (const [at, bits] of missing.entries()) {
		const wanted = bits & (pinned[at] ?? 0);
		if (wanted === 0) continue;
		for (let bit = 0; bit < 8; bit++) if ((wanted & (1 << bit)) !== 0) pages.push(8 * at + bit);
	}
	for (let from = 0; from < pages.length; from += MAX_BATCH_PAGES)
		await guest.pages.apply(await snapshot.pages(Uint32Array.from(pages.slice(from, from + MAX_BATCH_PAGES))));
	for (const page of pages) missing[page >>> 3]! &= ~(1 << (page & 7));
}

function createPages(
	{ snapshot, clock }: LazyRestoreServices,
	options: LazyRestoreOptions,
	guest: FaultingGuest,
	missing: PageBits,
	order: AccessOrder,
): LazyPages {
	const recorded = order.origin === "recorded" ? order.pages : new Uint32Array(0);
	const prefetch = options.prefetch ?? (order.origin === "recorded" ? activePush() : prepaging());
	return new LazyPages({ guest, snapshot, clock, hashes: snapshot.hashes() }, missing, recorded, prefetch);
}

/** Rejects when the loading does, and never resolves. */
async function failureOf(loading: Promise<void>): Promise<never> {
	await loading;
	return new Promise(() => undefined);
}

async function finish(
	services: LazyRestoreServices,
	pages: LazyPages,
	loading: Promise<void>,
): Promise<LazyReport & { readonly isOrderKept: boolean }> {
	await loading;
	const { accessOrders, snapshot } = services;
	const noted = accessOrders?.note(snapshot.info.id, pages.accessOrder) ?? Promise.resolve(false);
	// A hint that cannot be kept is no failure of the restore: the guest has all of its pages.
	const isOrderKept = await noted.catch(() => false);
	return { ...pages.report, isOrderKept };
}
