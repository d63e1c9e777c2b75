// What tests of QEMU guests work with: the platform of this runtime, a machine that fits in a boot sector, and the proof
// that nothing of a guest is left when it is gone.

import { QemuError } from "../../bindings/guests/qemu/errors.ts";
import {
	type QemuGuest,
	QemuGuestFactory,
	type QemuMachine,
	type QemuServices,
	type QemuTracker,
	startQemuGuest,
} from "../../bindings/guests/qemu/index.ts";
import { qemuVersion } from "../../bindings/guests/qemu/qemu-host.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import type { PageFiles } from "../../bindings/ports/host-files.ts";
import type { Platform } from "../../bindings/ports/platform.ts";
import { counterFloppy, FIRST_COUNTED_PAGE } from "./counter-sector.ts";

/** The ports of Node or Deno. */
export async function openPlatform(): Promise<{ readonly platform: Platform; readonly pageFiles: PageFiles }> {
	if ("Deno" in globalThis) {
		const { denoPlatform } = await import("../../bindings/platform/deno/index.ts");
		const { denoPageFiles } = await import("../../bindings/platform/deno/host-files.ts");
		return { platform: denoPlatform(), pageFiles: denoPageFiles };
	}
	const { nodePlatform } = await import("../../bindings/platform/node/index.ts");
	const { nodePageFiles } = await import("../../bindings/platform/node/host-files.ts");
	return { platform: nodePlatform(), pageFiles: nodePageFiles };
}

/** Why there can be no QEMU guests here; `undefined` where there can. */
export async function whyNoQemu(platform: Platform): Promise<string | undefined> {
	try {
		await qemuVersion(platform, "qemu-system-x86_64");
		return undefined;
	} catch (error) {
		if (error instanceof QemuError) return error.message;
		throw error;
	}
}

/** Megabytes that the counting machine counts through, after the first. */
const COUNTED_MIB = 7;

/** Opens the folders and keeps the guests of one suite. */
export class QemuStage {
	readonly platform: Platform;
	readonly pageFiles: PageFiles;
	/** For RAM files and sockets, of this suite alone. */
	readonly folder: string;
	readonly machine: QemuMachine;
	readonly #guests: Set<Guest> = new Set();
	readonly #factories: Set<QemuGuestFactory> = new Set();

	private constructor(ports: { readonly platform: Platform; readonly pageFiles: PageFiles }, folder: string) {
		this.platform = ports.platform;
		this.pageFiles = ports.pageFiles;
		this.folder = folder;
		this.machine = { memoryMiB: 16, boot: { floppy: `${folder}-images/counter.img` } };
	}

	static async open(): Promise<QemuStage> {
		const ports = await openPlatform();
		const { files, random } = ports.platform;
		const stage = new QemuStage(ports, `/dev/shm/pageferry-test-${files.pid}-${random.nextU32().toString(36)}`);
		await files.makePrivateFolder(`${stage.folder}-images`);
		const floppy = counterFloppy({ limitMiB: 1 + COUNTED_MIB, delay: 4_000_000 });
		await files.write(`${stage.folder}-images/counter.img`, floppy);
		return stage;
	}

	/** A machine that has counted three rounds. */
	async startCounter(machine: QemuMachine = this.machine): Promise<QemuGuest> {
		return this.keep(
			await startQemuGuest(this.platform, {
				machine,
				folder: this.folder,
				booted: (line) => /^[0-9a-f]{8}$/.test(line) && line >= "00000003",
			}),
		);
	}

	async factory(
		machine: QemuMachine = this.machine,
		services: QemuServices = this.platform,
		tracker: "auto" | QemuTracker = "auto",
	): Promise<QemuGuestFactory> {
		const factory = await QemuGuestFactory.open(services, { machine, folder: this.folder, tracker });
		this.#factories.add(factory);
		return factory;
	}

	/** Discarded when the test is over. */
	keep<G extends Guest>(guest: G): G {
		this.#guests.add(guest);
		return guest;
	}

	/** The counted bytes of a paused guest, one per page: see `oracleComplaint`. */
	async counted(guest: QemuGuest): Promise<Uint8Array> {
		const file = this.pageFiles.open(guest.ramPath);
		try {
			const pages = COUNTED_MIB * 256;
			const memory = new Uint8Array(pages * 4096);
			file.read(memory, FIRST_COUNTED_PAGE * 4096);
			return Uint8Array.from({ length: pages }, (_, page) => memory[page * 4096]!);
		} finally {
			file.close();
		}
	}

	/** Ends what a test has kept. @returns names of what is left in the folder: none */
	async clear(): Promise<readonly string[]> {
		for (const factory of this.#factories) await factory.close();
		for (const guest of this.#guests) await guest.discard();
		this.#factories.clear();
		this.#guests.clear();
		return this.platform.files.names(this.folder);
	}

	async close(): Promise<void> {
		await this.clear();
		await this.platform.files.removeTree(this.folder);
		await this.platform.files.removeTree(`${this.folder}-images`);
	}
}

/** The next line on a guest's console that `isIt` takes. */
export function nextLine(guest: QemuGuest, isIt: (line: string) => boolean): Promise<string> {
	return new Promise((resolve, reject) => {
		void guest.ended.then(reject);
		const stop = guest.console.onLine((line) => {
			if (!isIt(line)) return;
			stop();
			resolve(line);
		});
	});
}

/** The code of the error that `work` rejects with, if it is one of ours. */
export async function rejection(work: Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> {
	const error = await work.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	if (error instanceof Error && "code" in error) return { code: String(error.code), message: error.message };
	return { code: "none of ours", message: String(error) };
}
