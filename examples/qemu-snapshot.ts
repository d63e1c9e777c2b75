// A Linux under QEMU is saved while it counts, its snapshot is restored in another QEMU, and both go on. `npm run guests`
// prepares the kernel; QEMU itself is Debian's qemu-system-x86.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { localPlatform, restore, SnapshotSeries, SnapshotStore } from "pageferry";
import { QemuError, QemuGuest, QemuGuestFactory, startQemuGuest } from "pageferry/guests/qemu";

const platform = localPlatform();
const { clock, random, openFolderStore } = platform;
const folder = "build/guests/assets/qemu";
const boot = {
	kernel: `${folder}/vmlinuz`,
	initrd: `${folder}/initramfs.gz`,
	append: "console=ttyS0 quiet panic=-1 no_timer_check",
};
const machine = { memoryMiB: 128, boot };

/** Waits until the guest has counted to some number, and a little further. @returns the last it has said */
async function counted(guest: QemuGuest, atLeast: number): Promise<number> {
	for (;;) {
		const last = guest.console.recent.flatMap((line) => /count (\d+)$/.exec(line)?.[1] ?? []).at(-1);
		if (Number(last ?? 0) >= atLeast) return Number(last);
		await clock.sleep(10);
	}
}

async function main(): Promise<void> {
	const guest = await startQemuGuest(platform, { machine, booted: (line) => line.startsWith("Enter 'help'") });
	await guest.console.write("counter 20 &\n");
	await counted(guest, 20);
	const path = await mkdtemp(`${tmpdir()}/pageferry-example-`);
	const store = new SnapshotStore(await openFolderStore(path), { clock, random });
	const series = await SnapshotSeries.open({ guest, store, clock });
	await series.liveSave();
	const { snapshot, metrics } = await series.liveSave();
	await series.close();
	const at = await counted(guest, 0);
	console.log(`an increment: ${metrics.pagesTransferred} pages, downtime ${metrics.downtimeMs.toFixed(1)} ms`);

	const factories = [await QemuGuestFactory.open(platform, { machine })];
	const services = { snapshot: await store.open(snapshot.id), factories, clock, random };
	const { guest: copy } = await restore(services, { clock: "continue", random: "keep" });
	if (!(copy instanceof QemuGuest)) throw new Error("another guest than was saved");
	console.log(`saved at ${at}: the copy says ${await counted(copy, at)}, the guest ${await counted(guest, at + 10)}`);
	await Promise.all([guest.discard(), copy.discard(), rm(path, { recursive: true })]);
}

try {
	await main();
} catch (error) {
	if (!(error instanceof QemuError) || (error.code !== "not-installed" && error.code !== "no-file")) throw error;
	console.log(`skipped, no downtime: ${error.message} (npm run guests)`);
}
