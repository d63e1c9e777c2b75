// The far side of a worker beside a QEMU guest's memory: takes jobs one after the other (ram-protocol.ts).
import { GuestError } from "../../ports/guest.ts";
import type { PageFile, PageFiles } from "../../ports/host-files.ts";
import type { WorkerScope } from "../../ports/worker.ts";
import { PageMap } from "./page-map.ts";
import { factsOf, type RamJob, type RamJobs, type RamReply, type RamRequest, type ShardFacts } from "./ram-protocol.ts";
import { RamShard } from "./ram-shard.ts";

interface Answer {
	readonly result: RamJobs[keyof RamJobs]["result"];
	readonly transfer?: readonly ArrayBuffer[];
}

/** Serves the worker that this code runs in. */
export function startQemuRamWorker(scope: WorkerScope, files: PageFiles): void {
	let shard: RamShard | undefined;
	let file: PageFile | undefined;
	scope.onMessage = (message) => {
		// allowed (cast): the host runs ram.ts of the same release, which posts nothing else
		const { id, job } = message as RamRequest;
		try {
			if (job.name === "attach") {
				file?.close();
				file = files.open(job.shard.path);
				const { map, withoutMap } = openMap(files, job.shard);
				shard = new RamShard(file, map, job.shard);
				reply(scope, { id, result: withoutMap === undefined ? {} : { withoutMap } });
				return;
			}
			if (shard === undefined) throw new GuestError("gone", "this worker has no memory to work on");
			const { result, transfer } = carryOut(shard, job);
			reply(scope, { id, result }, transfer);
		} catch (error) {
			reply(scope, { id, failure: factsOf(error) });
		}
	};
}

function reply(scope: WorkerScope, message: RamReply, transfer?: readonly ArrayBuffer[]): void {
	scope.post(message, transfer);
}

function carryOut(shard: RamShard, job: Exclude<RamJob, { name: "attach" }>): Answer {
	const { tracker } = shard;
	switch (job.name) {
		case "open": {
			const isFirst = !tracker.attached;
			if (isFirst) shard.look.prepare();
			const cursor = toEnd(tracker.open());
			if (isFirst) shard.look.start();
			return { result: { cursor } };
		}
		case "peek": {
			shard.look.beginPeek(job.kind, job.firstPage, job.pageCount);
			const bits = toEnd(tracker.peek(job.cursor, job.firstPage, job.pageCount, job.candidates));
			shard.look.end();
			return { result: { bits } };
		}
		case "harvest": {
			shard.look.begin(job.kind);
			const { bits, dirtyCount } = toEnd(tracker.harvest(job.cursor));
			return { result: { bits, dirtyCount, look: shard.look.end() }, transfer: [bits.buffer] };
		}
		case "soft-dirty":
			return { result: { pageCount: shard.look.softDirtyPages() } };
		case "put-back":
			tracker.putBack(job.cursor, job.bits);
			return { result: undefined };
		case "close":
			tracker.close(job.cursor);
			return { result: undefined };
		case "encode": {
			const { buffer, compress, still, pageIndices } = job;
			const into = new Uint8Array(buffer);
			const foreign = job.foreign && new Uint8Array(job.foreign);
			const encoded = shard.encode(pageIndices, { compress, still, into, foreign });
			const { byteLength, checksum, zeroPages } = encoded;
			return { result: { buffer, byteLength, checksum, zeroPages }, transfer: [buffer] };
		}
		case "contents":
			shard.contents(job.pageIndices, new Uint8Array(job.buffer));
			return { result: { buffer: job.buffer }, transfer: [job.buffer] };
		case "zeros": {
			const bits = shard.zeros(job.still);
			return { result: { bits }, transfer: [bits.buffer] };
		}
		case "apply":
			return apply(shard, job);
		case "hashes": {
			const hashes = shard.hashes(job.firstPage, job.pageCount);
			return { result: { hashes }, transfer: [hashes.buffer] };
		}
	}
}

/** Some systems show it to nobody: then everything is read. */
function openMap(
	files: PageFiles,
	{ mapping }: ShardFacts,
): { readonly map: PageMap | undefined; readonly withoutMap?: string } {
	if (mapping === undefined) return { map: undefined };
	try {
		const map = new PageMap(files.openToRead(mapping.path), mapping.address);
		map.read(0, 1);
		return { map };
	} catch (error) {
		return { map: undefined, withoutMap: error instanceof Error ? error.message : String(error) };
	}
}

function apply(shard: RamShard, { buffer, byteLength, checksum }: Extract<RamJob, { name: "apply" }>): Answer {
	const transfer = [buffer];
	try {
		const pageIndices = shard.apply(new Uint8Array(buffer, 0, byteLength), checksum);
		return { result: { buffer, pageIndices }, transfer };
	} catch (error) {
		// The buffer was lent: it goes back whatever was in it.
		return { result: { buffer, pageIndices: new Uint32Array(0), refused: factsOf(error) }, transfer };
	}
}

/** The thread is this work's alone: nothing waits between its steps. */
function toEnd<T>(work: Generator<void, T>): T {
	for (;;) {
		const step = work.next();
		if (step.done) return step.value;
	}
}
