// Where a QEMU's RAM file and sockets lie, and how they are found again when their owner was killed.
//
//   ROOT / <pid namespace>-<owner's pid>-<its start time>-<number>/   ram, *.sock
//
// The name says whose it is, so there is no moment at which a folder exists and nobody knows whose. A pid alone would not
// do: pids are used again. Start times are in clock ticks since boot (proc(5)), and a folder in shared memory does not
// outlive the boot. A sweep looks only at folders of its own pid namespace: it knows nothing of others' processes.
//
// A QEMU whose owner is gone is known by its command line, which names its folder: also when the owner was killed before
// it could have written down which process it had started.
import type { HostFiles } from "../../ports/host-files.ts";
import type { Random } from "../../ports/random.ts";
import { defaultFolder } from "./qemu-host.ts";

/** Every QEMU, and passt, which goes on under the name of a variant. */
const STARTED_BY_US = /\0-no-user-config\0|^([^\0]*\/)?passt[^\0]*\0-f\0/;
/** So often a process that was killed is looked at until it has ended: several seconds. It takes milliseconds. */
const LAST_LOOKS = 20_000;
const NAME = /^(\d+)-(\d+)-(\d+)-([0-9a-z]+)$/;

/** Roots that this process has swept: once is enough, because it clears up after itself. */
const swept: Map<string, Promise<void>> = new Map();

interface Owner {
	readonly namespace: string;
	readonly pid: number;
	readonly startTicks: string;
}

/** Makes a folder for one QEMU, after removing what dead owners have left in this root. @returns its path */
export async function makeInstanceFolder(files: HostFiles, random: Random, root: string): Promise<string> {
	await files.makePrivateFolder(root);
	let sweeping = swept.get(root);
	if (sweeping === undefined) {
		sweeping = sweepInstances(files, root).then(() => undefined);
		swept.set(root, sweeping);
		// What stood in its way may be gone at the next start.
		sweeping.catch(() => swept.delete(root));
	}
	await sweeping;
	const { namespace, pid, startTicks } = await ourselves(files);
	const path = `${root}/${namespace}-${pid}-${startTicks}-${random.nextU32().toString(36)}`;
	await files.makePrivateFolder(path);
	return path;
}

/**
 * Ends QEMUs whose owner is gone, and removes their folders. One that cannot be ended (the system holds it in a call that does not
 * return) keeps its folder until the next sweep.
 * @param root - the folder of {@link QemuPlace}
 * @returns how many folders were removed
 */
export async function sweepInstances(files: HostFiles, root: string = defaultFolder(files)): Promise<number> {
	const here = await ourselves(files);
	let removed = 0;
	for (const name of await files.names(root)) {
		const [, namespace, pid, startTicks] = NAME.exec(name) ?? [];
		if (namespace !== here.namespace || pid === undefined || startTicks === undefined) continue;
		if ((await startTicksOf(files, Number(pid))) === startTicks) continue;
		if (!(await endUsersOf(files, `${root}/${name}/`))) continue;
		await files.removeTree(`${root}/${name}`);
		removed++;
	}
	return removed;
}

async function ourselves(files: HostFiles): Promise<Owner> {
	const link = await files.readLink("/proc/self/ns/pid");
	const namespace = /\d+/.exec(link ?? "")?.[0] ?? "0";
	return { namespace, pid: files.pid, startTicks: (await startTicksOf(files, files.pid)) ?? "0" };
}

/** Field 22 of /proc/PID/stat; the second field, a name in parentheses, may hold anything. */
async function startTicksOf(files: HostFiles, pid: number): Promise<string | undefined> {
	const bytes = await files.read(`/proc/${pid}/stat`);
	if (bytes === undefined) return undefined;
	const text = new TextDecoder().decode(bytes);
	const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
	// A process that has ended and was not yet collected uses nothing any more.
	return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/**
 * Ends every QEMU whose files or sockets lie in this folder, and waits until there is none. We start all of them alike.
 * @returns whether they have all ended
 */
async function endUsersOf(files: HostFiles, folder: string): Promise<boolean> {
	for (;;) {
		let found = 0;
		for (const name of await files.names("/proc")) {
			if (!/^\d+$/.test(name)) continue;
			const line = await files.read(`/proc/${name}/cmdline`);
			const text = line === undefined ? "" : new TextDecoder().decode(line);
			if (!text.includes(folder) || !STARTED_BY_US.test(text)) continue;
			const startTicks = await startTicksOf(files, Number(name));
			if (startTicks === undefined) continue;
			files.kill(Number(name));
			if (!(await hasEnded(files, Number(name), startTicks))) return false;
			found++;
		}
		if (found === 0) return true;
	}
}

/**
 * A process's command line goes before its sockets do: a port that it listens on is free when it is a zombie, or gone. Its number
 * may be another's by then.
 */
async function hasEnded(files: HostFiles, pid: number, startTicks: string): Promise<boolean> {
	for (let looks = 0; looks < LAST_LOOKS; looks++) if ((await startTicksOf(files, pid)) !== startTicks) return true;
	return false;
}
