// A QEMU's RAM as the system sees it, simulated: which pages its file has, which QEMU has mapped, which are marked as written;
// and the files of /proc that tell. Workers run in this thread, on the same code as real ones.
import { QemuRam } from "../../bindings/guests/qemu/ram.ts";
import { startQemuRamWorker } from "../../bindings/guests/qemu/ram-worker.ts";
import type { HostFiles, PageFile, PageFiles, PageSource } from "../../bindings/ports/host-files.ts";
import type { WorkerPort, WorkerScope, WorkerThread } from "../../bindings/ports/worker.ts";

const PAGE_BYTES = 4096;
const ADDRESS = 0x7f00_0000_0000;
const RAM = "/simulated/ram";
const PAGE_MAP = "/proc/77/pagemap";

/** See the head of this file. A page's content is its first byte, here. */
export class SimulatedRam {
	readonly pageCount: number;
	/** `undefined`: a hole. */
	readonly pages: (number | undefined)[];
	readonly mapped: Set<number> = new Set();
	readonly marked: Set<number> = new Set();
	/** Pages that were read from the file, in order. */
	readonly read: number[] = [];
	/** Whether the system's own pages are marked as a whole, as a mapping that is new is. */
	isNew = true;
	hasMarks = true;
	isPaused = false;
	swaps = "Filename\tType\tSize\tUsed\tPriority\n";
	hugePages = "always within_size advise [never] deny force";
	cleared = 0;

	constructor(pageCount: number) {
		this.pageCount = pageCount;
		this.pages = Array.from({ length: pageCount }, () => undefined);
	}

	/** QEMU writes a page. */
	write(page: number, value: number): void {
		this.pages[page] = value;
		this.mapped.add(page);
		this.marked.add(page);
	}

	/** QEMU reads a page: the file has it from then on. */
	touch(page: number): void {
		this.pages[page] ??= 0;
		this.mapped.add(page);
	}

	/** A balloon gives a page back. */
	punch(page: number): void {
		this.pages[page] = undefined;
		this.unmap(page);
	}

	/** The system takes a page out of QEMU's tables, as when it swaps. */
	unmap(page: number): void {
		this.mapped.delete(page);
		this.marked.delete(page);
	}

	/** Somebody else writes the file. */
	intrude(page: number, value: number): void {
		this.pages[page] = value;
	}

	/** Opens it as a QEMU guest does. */
	open(): Promise<QemuRam> {
		const process = { files: this.#hostFiles(), pid: 77, isPaused: () => this.isPaused };
		return QemuRam.open(this.#workers(), { path: RAM, pageCount: this.pageCount }, process, () => undefined);
	}

	/** What a guest's probe looks at. */
	get files(): HostFiles {
		return this.#hostFiles();
	}

	#hostFiles(): HostFiles {
		const unused = () => Promise.reject(new Error("not simulated"));
		const text: Record<string, () => string> = {
			"/proc/77/maps": () =>
				`55aa00000000-55aa00001000 r-xp 00000000 00:00 0 /bin/qemu\n${ADDRESS.toString(16)}-${(ADDRESS + this.pageCount * PAGE_BYTES).toString(16)} rw-s 00000000 00:1b 15366                      ${RAM}\n`,
			"/proc/swaps": () => this.swaps,
			"/sys/kernel/mm/transparent_hugepage/shmem_enabled": () => this.hugePages,
		};
		return {
			...{ pid: 1, userId: 0, makePrivateFolder: unused, names: unused, readLink: unused },
			...{ makeSparse: unused, freeBytes: unused, removeTree: unused, kill: () => undefined },
			read: (path) => Promise.resolve(text[path] && new TextEncoder().encode(text[path]())),
			write: (path, bytes) => {
				if (path !== "/proc/77/clear_refs" || bytes[0] !== 0x34) return unused();
				this.cleared++;
				this.isNew = false;
				this.marked.clear();
				return Promise.resolve();
			},
		};
	}

	#pageFiles(): PageFiles {
		const ram: PageFile = {
			allocatedBytes: () => this.pages.filter((page) => page !== undefined).length * PAGE_BYTES,
			read: (target, byteOffset) => {
				target.fill(0);
				for (let at = 0; at < target.byteLength; at += PAGE_BYTES) {
					const page = (byteOffset + at) / PAGE_BYTES;
					this.read.push(page);
					target[at] = this.pages[page] ?? 0;
				}
			},
			write: (bytes, byteOffset) => {
				for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES)
					this.pages[(byteOffset + at) / PAGE_BYTES] = bytes[at]!;
			},
			close: () => undefined,
		};
		const map: PageSource = {
			read: (target, byteOffset) => {
				const words = new DataView(target.buffer, target.byteOffset, target.byteLength);
				for (let at = 0; at < target.byteLength; at += 8) {
					const page = (byteOffset + at) / 8 - ADDRESS / PAGE_BYTES;
					const isMarked = this.hasMarks && (this.isNew || this.marked.has(page));
					const high = (this.mapped.has(page) ? 0x8000_0000 : 0) + (isMarked ? 0x0080_0000 : 0);
					words.setUint32(at, 0, true);
					words.setUint32(at + 4, high, true);
				}
			},
			close: () => undefined,
		};
		return {
			open: () => ram,
			openToRead: (path) => {
				if (path !== PAGE_MAP) throw new Error(`${path} is not there`);
				return map;
			},
		};
	}

	#workers(): WorkerPort {
		return {
			start: () => {
				const near: WorkerThread = {
					post: (message) => queueMicrotask(() => scope.onMessage?.(message)),
					...{ onMessage: undefined, onEnd: undefined, terminate: () => Promise.resolve() },
				};
				const scope: WorkerScope = {
					post: (message) => queueMicrotask(() => near.onMessage?.(message)),
					onMessage: undefined,
					load: () => Promise.reject(new Error("not simulated")),
					clock: { now: () => 0, sleep: () => Promise.resolve() },
				};
				startQemuRamWorker(scope, this.#pageFiles());
				return near;
			},
		};
	}
}
