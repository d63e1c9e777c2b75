// The guest contract on a machine under QEMU that does nothing: what the suite writes, it writes into the RAM file, as QEMU's
// own threads would: only a scan sees that. QEMU's memory cannot grow: the two tests of that are not for it.

import { startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";
import { guestContract } from "./suites/guest.ts";
import { skippedContract } from "./suites/skipped.ts";

const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);

async function qemuContract(): Promise<void> {
	if (missing !== undefined) {
		skippedContract("guest contract: qemu", missing);
		return;
	}
	const stage = await QemuStage.open();
	const blank = `${stage.folder}-images/blank.img`;
	await platform.files.write(blank, new Uint8Array(1_474_560));
	const machine = { memoryMiB: 4, boot: { floppy: blank } };
	const withFile = (path: string, work: (file: ReturnType<typeof stage.pageFiles.open>) => void): void => {
		const file = stage.pageFiles.open(path);
		work(file);
		file.close();
	};
	guestContract({
		name: "qemu",
		growPages: 0,
		propertyRuns: 20,
		factory: () => stage.factory(machine, platform, "scan"),
		create: async () => {
			const guest = await startQemuGuest(platform, { machine, folder: stage.folder, tracker: "scan" });
			stage.keep(guest);
			// The machine is held: its firmware would go on writing while the suite counts what it has written itself.
			await guest.execute("stop");
			return {
				guest,
				firstPage: 600,
				freePages: 16,
				write: async (byteOffset, bytes) => withFile(guest.ramPath, (file) => file.write(bytes, byteOffset)),
				read: async (byteOffset, byteLength) => {
					const bytes = new Uint8Array(byteLength);
					withFile(guest.ramPath, (file) => file.read(bytes, byteOffset));
					return bytes;
				},
				grow: () => Promise.resolve(),
			};
		},
		close: () => stage.close(),
	});
}

await qemuContract();
