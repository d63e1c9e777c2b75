/**
 * The far side of a v86 guest that lives in a worker: the guest itself (guest.ts), told what to do by messages. Here it may
 * stand still for a page.
 */

import { type DirtyCursor, GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import type { HostFiles } from "../../ports/host-files.ts";
import type { WorkerScope } from "../../ports/worker.ts";
import { recordError } from "../error-record.ts";
import { InboxWriter } from "../fault-inbox.ts";
import { postFaultEvents } from "../fault-work.ts";
import { bitsByteLength } from "../page-bits.ts";
import { BallooningV86Guest, V86Guest } from "./guest.ts";
import { adoptModule } from "./machine.ts";
import { V86_PINNED_PAGE } from "./missing-ram.ts";
import { loadV86 } from "./package.ts";
import type { GuestReport, HostMessage, JobOrder, Jobs, StartOrder, WorkerMessage } from "./worker-protocol.ts";

/** Starts the worker's side. A platform's worker entry calls this once. */
export function startV86GuestWorker(scope: WorkerScope, files: Pick<HostFiles, "read">): void {
	const worker = new GuestWorker(scope, files);
	// allowed (cast): the host's side of the same release posts nothing else into this worker
	scope.onMessage = (message) => worker.receive(message as HostMessage);
}

/** Answers messages. One guest per worker. */
class GuestWorker {
	readonly #scope: WorkerScope;
	readonly #files: Pick<HostFiles, "read">;
	readonly #cursors = new Map<number, DirtyCursor>();
	#nextCursor = 1;
	#guest: V86Guest | undefined;
	/** Settles when the last of what keeps its order has been done; never rejects. */
	#last: Promise<unknown> = Promise.resolve();

	constructor(scope: WorkerScope, files: Pick<HostFiles, "read">) {
		this.#scope = scope;
		this.#files = files;
	}

	receive(message: HostMessage): void {
		switch (message.kind) {
			case "start":
				this.#answer(message.id, this.#start(message.order));
				break;
			case "job":
				this.#answer(message.id, this.#job(message.job));
				break;
			case "serial":
				// One that has crashed has told the host already.
				if (this.#guest?.hasCrashed === false) this.#guest.serial.write(message.text);
				break;
			case "frame":
				this.#guest?.network.deliver(message.frame);
				break;
			case "inbox":
				this.#guest?.drainMissing().catch(() => undefined); // a guest that has failed says so when it is asked
		}
	}

	async #start({ hardware, compiled, firmware, faulting, ...options }: StartOrder): Promise<object> {
		const v86 = await loadV86(this.#files);
		adoptModule(v86, compiled);
		const guest = await V86Guest.build(hardware, { ...options, v86, clock: this.#scope.clock }, firmware);
		if (faulting) await rehearseFaults(guest);
		guest.serial.listen((text) => this.#post({ kind: "serial", text }));
		guest.network.listen((frame) => this.#post({ kind: "frame", frame }, [frame.buffer]));
		void guest.crashed.then((error) => this.#post({ kind: "crashed", error: recordError(error) }));
		this.#guest = guest;
		return {};
	}

	async #job(job: JobOrder): Promise<Jobs[keyof Jobs]["result"]> {
		const guest = this.#guest;
		if (guest === undefined) throw new GuestError("gone", "this worker has no guest");
		switch (job.name) {
			case "pause":
				await guest.pause({ deadlineMs: Number.POSITIVE_INFINITY });
				return {};
			case "resume":
				await guest.resume();
				return {};
			case "advance":
				await guest.advance(job.steps);
				return {};
			case "progress": {
				const { timeMs, steps, halted, instructions } = guest;
				return { timeMs, steps, halted, instructions };
			}
			case "read":
				return { bytes: guest.readMemory(job.address, job.byteLength) };
			case "write":
				guest.writeMemory(job.address, job.bytes);
				return {};
			case "capture":
				return { bytes: (await guest.state.capture()).slice() };
			case "apply":
			case "restore":
			case "begin-faults":
			case "end-faults":
				return this.#inOrder(() => this.#targetJob(guest, job));
			case "encode":
			case "hashes":
			case "grow":
				return this.#pageJob(guest, job);
			case "balloon-report":
			case "balloon-move":
			case "balloon-out":
				return balloonJob(guest, job);
			default:
				return this.#cursorJob(guest, job);
		}
	}

	/** What a host may tell a target without waiting in between (FaultControl.inOrder): state goes behind the pages, faults behind it. */
	#inOrder<T>(work: () => Promise<T>): Promise<T> {
		const done = this.#last.then(work);
		this.#last = done.catch(() => undefined); // who has asked for it sees its failure
		return done;
	}

	async #targetJob(
		guest: V86Guest,
		job: Extract<JobOrder, { readonly name: "apply" | "restore" | "begin-faults" | "end-faults" }>,
	): Promise<Jobs["apply" | "restore" | "begin-faults" | "end-faults"]["result"]> {
		switch (job.name) {
			case "apply": {
				const { buffer, byteLength, checksum } = job;
				const applied = guest.pages.apply({ bytes: new Uint8Array(buffer, 0, byteLength), checksum });
				const refused = await applied.then(
					() => undefined,
					(error: unknown) => recordError(error),
				);
				return { buffer, refused };
			}
			case "restore":
				await guest.state.restore(job.bytes);
				return {};
			case "begin-faults":
				guest.missing.begin(
					job.shared,
					job.missing,
					postFaultEvents((message) => this.#post(message)),
				);
				return {};
			case "end-faults":
				guest.missing.end();
				return {};
		}
	}

	async #pageJob(
		{ pages }: V86Guest,
		job: Extract<JobOrder, { readonly name: "encode" | "hashes" | "grow" }>,
	): Promise<Jobs["encode" | "hashes" | "grow"]["result"]> {
		switch (job.name) {
			case "encode": {
				const { bytes, checksum, zeroPages, release } = await pages.encode(job.pageIndices, job);
				const sent = bytes.slice();
				release();
				return { bytes: sent, checksum, zeroPages };
			}
			case "hashes":
				return { bytes: Uint8Array.from(await pages.hashes(job.firstPage, job.pageCount)) };
			case "grow":
				await pages.grow(job.pageCount);
				return {};
		}
	}

	async #cursorJob(
		{ dirty }: V86Guest,
		job: Extract<JobOrder, { readonly name: "open" | "peek" | "harvest" | "put-back" | "close" }>,
	): Promise<Jobs["open" | "peek" | "harvest" | "put-back" | "close"]["result"]> {
		if (job.name === "open") {
			const cursor = this.#nextCursor++;
			this.#cursors.set(cursor, await dirty.open());
			return { cursor };
		}
		const cursor = this.#cursors.get(job.cursor);
		if (cursor === undefined) throw new TypeError("this cursor is closed");
		switch (job.name) {
			case "peek":
				return { bits: await cursor.peek(job.firstPage, job.pageCount, job.candidates) };
			case "harvest":
				return cursor.harvest();
			case "put-back":
				await cursor.putBack(job.bits);
				return {};
			case "close":
				this.#cursors.delete(job.cursor);
				await cursor.close();
				return {};
		}
	}

	#answer(id: number, work: Promise<unknown>): void {
		work.then(
			(value) => this.#post({ kind: "reply", id, value, report: this.#report() }, buffersOf(value)),
			(error: unknown) => this.#post({ kind: "failure", id, error: recordError(error), report: this.#report() }),
		);
	}

	#report(): GuestReport {
		const guest = this.#guest;
		return {
			layout: guest?.state.layout(),
			macAddress: guest?.network.macAddress ?? "",
			badFrames: guest?.network.badFrames ?? 0,
			tracker: guest?.dirty.tracker ?? "scan",
			slicesMs: guest?.takeInterruptions().slicesMs ?? [],
		};
	}

	#post(message: WorkerMessage, transfer: readonly ArrayBuffer[] = []): void {
		this.#scope.post(message, transfer);
	}
}

async function balloonJob(
	guest: V86Guest,
	job: Extract<JobOrder, { readonly name: "balloon-report" | "balloon-move" | "balloon-out" }>,
): Promise<Jobs["balloon-report" | "balloon-move" | "balloon-out"]["result"]> {
	if (!(guest instanceof BallooningV86Guest)) throw new TypeError("this guest has no balloon");
	const { balloon } = guest;
	switch (job.name) {
		case "balloon-report":
			return balloon.report();
		case "balloon-move":
			return { moved: await balloon[job.direction](job.pages) };
		case "balloon-out":
			return { bits: await balloon.out() };
	}
}

/** Lets a page of zeros come to a target that is all zeros: what a switch and a wait run for the first time takes 1 ms longer. */
async function rehearseFaults({ pages, missing }: V86Guest): Promise<void> {
	const { pageCount } = pages;
	const page = V86_PINNED_PAGE + 1;
	const inbox = new InboxWriter(pageCount, 1);
	const batch = await pages.encode(Uint32Array.of(page), { compress: false });
	inbox.post(batch.bytes, batch.checksum);
	batch.release();
	const bits = new Uint8Array(bitsByteLength(pageCount));
	bits[page >>> 3]! |= 1 << (page & 7);
	missing.begin(
		inbox.memory,
		bits,
		postFaultEvents(() => undefined),
	);
	missing.onWalk(page * PAGE_BYTES);
	missing.touch(page * PAGE_BYTES, 1);
	missing.end();
}

/** What a reply hands over instead of copying. */
function buffersOf(value: unknown): ArrayBuffer[] {
	const { buffer, bytes }: Partial<Record<string, unknown>> = { ...(typeof value === "object" && value) };
	return [buffer, bytes].flatMap((part) => {
		const held = part instanceof Uint8Array ? part.buffer : part;
		return held instanceof ArrayBuffer ? [held] : [];
	});
}
