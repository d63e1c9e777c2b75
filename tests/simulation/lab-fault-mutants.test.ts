/**
 * Does the fault simulation bite? Ports and callers that are broken on purpose, one at a time, must each be caught within a
 * stated number of seeds; the same seeds with whole ones must not be. No technique is copied or changed.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FAULT_BENCH } from "../../bindings/cli/fault-bench.ts";
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, batchHashes } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 } from "../../bindings/engine/hash.ts";
import { type FaultCase, runCase } from "../../bindings/lab/faults/batch.ts";
import type { FaultSchedule, PlannedFault } from "../../bindings/lab/faults/schedule.ts";
import type { Tampering } from "../../bindings/lab/faults/two-hosts.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import type { DirtyCursor, EncodedBatch, Guest } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";

const test = suite("lab: broken variants are caught");
const engine = createEngine();

/** One way of being broken. */
interface Mutant extends Pick<FaultCase, "technique" | "workload"> {
	readonly name: string;
	/** Seeds within which it must be caught. */
	readonly within: number;
	/** What makes it show: in the whole run as well. */
	readonly schedule?: (schedule: FaultSchedule) => FaultSchedule;
	/** Broken in the whole run as well: something else has to make up for it. */
	readonly always?: Tampering;
	readonly broken: Tampering;
}

/** Replaces methods of a port. */
function replace<Port extends object>(port: Port, methods: Partial<Port>): void {
	Object.assign(port, methods);
}

/** Replaces the cursors that a guest's log gives. */
function breakCursors(guest: Guest, broken: (cursor: DirtyCursor) => Partial<DirtyCursor>): void {
	const open = guest.dirty.open.bind(guest.dirty);
	replace(guest.dirty, { open: () => open().then((cursor) => ({ ...cursor, ...broken(cursor) })) });
}

/** Nothing but what is named goes wrong, on the first connection. */
const only =
	(...planned: readonly PlannedFault[]) =>
	(schedule: FaultSchedule): FaultSchedule => ({ ...schedule, leased: false, faults: [{ bytes: [], planned }] });
const quiet = only();
const flips = (schedule: FaultSchedule): FaultSchedule => ({
	...schedule,
	faults: [
		{
			bytes: [{ kind: "flip", from: "a", offset: 500 + ((schedule.seed * 97) % 2500), bit: schedule.seed % 8 }],
			planned: [],
		},
	],
});

/** What a target says that has looked at a batch's table only. */
function claimed({ bytes }: EncodedBatch) {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const room = Math.floor((bytes.byteLength - BATCH_HEADER_BYTES) / BATCH_ENTRY_BYTES);
	const count = Math.min(view.getUint32(0, true), room);
	const page = (_: unknown, i: number) => view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES, true);
	return { pageIndices: Uint32Array.from({ length: count }, page), hashes: batchHashes(bytes, count) };
}

/** As if it had been checked. */
const unchecked = (batch: EncodedBatch): EncodedBatch => ({ ...batch, checksum: hash64(engine, batch.bytes) });

/** A log that misses the lowest dirty page of each harvest but the first. */
function missOne(guest: Guest): void {
	let harvests = 0;
	breakCursors(guest, (cursor) => ({
		harvest: async () => {
			const dirty = await cursor.harvest();
			if (harvests++ === 0) return dirty;
			const bits = dirty.bits.slice();
			const byte = bits.findIndex((value) => value !== 0);
			if (byte >= 0) bits[byte]! &= bits[byte]! - 1;
			return { ...dirty, bits };
		},
	}));
}

const atSource = (tamper: (guest: Guest, clock: { sleep(ms: number): Promise<void> }) => void): Tampering => ({
	guest: (guest, host) => {
		if (host.name === "source") tamper(guest, host.clock);
	},
});
const atTarget = (tamper: (guest: SyntheticGuest) => void): Tampering => ({
	guest: (guest, host) => {
		if (host.name === "target" && guest instanceof SyntheticGuest) tamper(guest);
	},
});

const MUTANTS: readonly Mutant[] = [
	{
		...{ name: "a dirty bit is cleared after the page was read", technique: "pre-copy", workload: "random-writer" },
		within: 10,
		schedule: quiet,
		broken: atSource((guest, clock) => {
			let cursor: DirtyCursor | undefined;
			breakCursors(guest, (opened) => {
				cursor = opened;
				return {};
			});
			const encode = guest.pages.encode.bind(guest.pages);
			replace(guest.pages, {
				encode: async (pageIndices, options) => {
					const batch = await encode(pageIndices, options);
					await clock.sleep(2); // the guest writes meanwhile
					const { bits } = (await cursor?.harvest()) ?? { bits: new Uint8Array(0) };
					for (const page of pageIndices) if (page >>> 3 < bits.length) bits[page >>> 3]! &= ~(1 << (page & 7));
					await cursor?.putBack(bits);
					return batch;
				},
			});
		}),
	},
	{
		...{ name: "the bits of a round are lost", technique: "pre-copy", workload: "quicksort", within: 10 },
		schedule: quiet,
		broken: atSource((guest) => {
			let rounds = 0;
			breakCursors(guest, (cursor) => ({
				harvest: async () => {
					const dirty = await cursor.harvest();
					return ++rounds === 1 ? { ...dirty, bits: new Uint8Array(dirty.bits.length), dirtyCount: 0 } : dirty;
				},
			}));
		}),
	},
	{
		...{ name: "the bits of an aborted round are not put back", technique: "live-save", workload: "random-writer" },
		within: 40,
		broken: atSource((guest) => breakCursors(guest, () => ({ putBack: async () => undefined }))),
	},
	{
		...{ name: "a batch is acknowledged before it is verified", technique: "stop-and-copy", workload: "web-server" },
		within: 60,
		schedule: flips,
		broken: atTarget((guest) => {
			const apply = guest.pages.apply.bind(guest.pages);
			replace(guest.pages, { apply: (batch) => apply(batch).catch(() => claimed(batch)) });
		}),
	},
	{
		...{
			name: "post-copy installs a page that it has not verified",
			technique: "post-copy",
			workload: "kernel-compile",
		},
		within: 60,
		schedule: flips,
		broken: atTarget((guest) => {
			const { faulting } = guest;
			const install = faulting.install.bind(faulting);
			replace(faulting, { install: (batch, taken) => install(unchecked(batch), taken) });
		}),
	},
	{
		...{ name: "a restored guest claims what it could not install", technique: "restore", workload: "bit-torrent" },
		within: 10,
		broken: {
			guest: (guest) => replace(guest.pages, { apply: async (batch) => claimed(batch) }),
		},
	},
	{
		...{ name: "the source resumes after go", technique: "pre-copy", workload: "idle", within: 10 },
		schedule: only({
			when: { phase: "confirm", afterMs: 0 },
			what: { kind: "partition", from: "b", durationMs: null },
		}),
		broken: { onUnconfirmed: (guest) => guest.resume() },
	},
	{
		...{ name: "the target runs before go", technique: "pre-copy", workload: "sequential-write", within: 10 },
		schedule: quiet,
		broken: atTarget((guest) => {
			const apply = guest.pages.apply.bind(guest.pages);
			replace(guest.pages, {
				apply: async (batch) => {
					await guest.pause();
					const done = await apply(batch);
					await guest.resume();
					return done;
				},
			});
		}),
	},
	{
		...{ name: "a paused guest still writes", technique: "hybrid", workload: "idle", within: 10 },
		schedule: quiet,
		broken: atSource((guest) => {
			const capture = guest.state.capture.bind(guest.state);
			replace(guest.state, {
				capture: () => {
					if (guest instanceof SyntheticGuest) guest.touchWrite(3);
					return capture();
				},
			});
		}),
	},
	{
		...{
			name: "a page that comes twice is installed twice",
			technique: "post-copy",
			workload: "bulk-sender",
			within: 10,
		},
		schedule: (schedule) => ({ ...quiet(schedule), variant: 1 }),
		// A source that sends a page again breaks nothing by itself.
		always: atSource((guest) => {
			let last: number | undefined;
			const encode = guest.pages.encode.bind(guest.pages);
			replace(guest.pages, {
				encode: (pageIndices, options) => {
					const again = last === undefined || pageIndices.includes(last) ? [] : [last];
					last = pageIndices[0];
					return encode(Uint32Array.from([...pageIndices, ...again]), options);
				},
			});
		}),
		broken: atTarget((guest) => {
			const { faulting, versions } = guest;
			const install = faulting.install.bind(faulting);
			replace(faulting, {
				install: async (batch, taken) => {
					const done = await install(batch, taken);
					const { pageIndices, hashes } = claimed(batch);
					const words = new Uint32Array(hashes.slice().buffer);
					for (const [i, page] of pageIndices.entries())
						if (!done.pageIndices.includes(page)) versions[page] = words[i * 4]!;
					return { ...done, pageIndices, hashes, duplicates: 0 };
				},
			});
		}),
	},
	{
		...{ name: "the digest is skipped", technique: "pre-copy", workload: "random-writer", within: 10 },
		schedule: (schedule) => ({ ...quiet(schedule), verification: "full" }),
		// A tracker that misses a change breaks nothing by itself: the digest finds it, and the guest stays here.
		always: atSource(missOne),
		broken: atSource((guest) => {
			const sent = new Map<number, Uint8Array>();
			const encode = guest.pages.encode.bind(guest.pages);
			const hashes = guest.pages.hashes.bind(guest.pages);
			replace(guest.pages, {
				encode: async (pageIndices, options) => {
					const batch = await encode(pageIndices, options);
					for (const [i, page] of pageIndices.entries()) sent.set(page, batch.hashes.slice(i * 16, i * 16 + 16));
					return batch;
				},
				hashes: async (firstPage, pageCount) => {
					const found = (await hashes(firstPage, pageCount)).slice();
					for (const [page, hash] of sent)
						if (page >= firstPage && page < firstPage + pageCount) found.set(hash, (page - firstPage) * 16);
					return found;
				},
			});
		}),
	},
	{
		...{
			name: "a snapshot becomes visible before it is durable",
			technique: "save",
			workload: "random-writer",
			within: 60,
		},
		schedule: (schedule) =>
			only({
				when: { phase: "commit", afterMs: schedule.seed % 25 },
				what: { kind: "crash", host: "source", silent: true, restarts: true },
			})({ ...schedule, variant: 1 }),
		broken: {
			disk: (contents, clock) => {
				// What was put reaches the medium only 40 ms later; references at once.
				const volatile = new Map<string, Uint8Array<ArrayBuffer>>();
				const store: Store = {
					put: async (name, bytes) => {
						volatile.set(name, new Uint8Array(bytes));
						clock.schedule(40, () => {
							const waiting = volatile.get(name);
							volatile.delete(name);
							if (waiting !== undefined) void contents.put(name, waiting);
						});
					},
					get: async (name, range) => {
						const bytes = volatile.get(name);
						if (bytes === undefined) return contents.get(name, range);
						return range === undefined ? bytes.slice() : bytes.slice(range.offset, range.offset + range.byteLength);
					},
					list: async (prefix) => {
						const names = [...volatile.keys()].filter((name) => name.startsWith(prefix));
						return [...new Set([...(await contents.list(prefix)), ...names])].sort();
					},
					delete: async (name) => {
						volatile.delete(name);
						await contents.delete(name);
					},
					readReference: (name) => contents.readReference(name),
					compareAndSetReference: (name, expected, next) => contents.compareAndSetReference(name, expected, next),
					listReferences: (prefix) => contents.listReferences(prefix),
				};
				return { ...store, lose: () => volatile.clear() };
			},
		},
	},
	{
		...{ name: "a guest does not run on after its save", technique: "live-save", workload: "idle", within: 10 },
		schedule: quiet,
		broken: atSource((guest) => replace(guest, { resume: async () => undefined })),
	},
];

function both(one: Tampering = {}, other: Tampering = {}): Tampering {
	return {
		...one,
		...other,
		guest: (...copy) => {
			one.guest?.(...copy);
			other.guest?.(...copy);
		},
	};
}

for (const { name, technique, workload, within, schedule, always, broken } of MUTANTS)
	test(`${name}: caught within ${within} seeds, and only when broken`, async () => {
		const drawn = schedule === undefined ? {} : { schedule };
		const find = async (seed: number, tampering: Tampering) =>
			(await runCase(FAULT_BENCH, { technique, workload, seed }, { ...tampering, ...drawn })).violations;
		let caught: number | undefined;
		let first = "";
		for (let seed = 1; seed <= within && caught === undefined; seed++) {
			assert.equal(await find(seed, both(always)), [], `seed ${seed}, nothing broken`);
			const violations = await find(seed, both(always, broken));
			if (violations.length === 0) continue;
			caught = seed;
			first = violations[0]!;
		}
		assert.ok(caught !== undefined, "the referee has seen nothing");
		console.log(`${name}: caught by seed ${caught}: ${first.split("\n")[0]}`);
	});

test.run();
