// Soft-dirty marks: the system notes which pages a process has written since "4" was written to /proc/PID/clear_refs (bit 55 of
// the page map). QEMU writes its guest's memory through one mapping, so the marks name all that the guest, its devices and
// KVM have written: KVM's own tables are dropped when marks are cleared, and a write faults in the system's table again.
//
//   open a cursor:      clear ─▶ copy all                       what is written after its page was cleared is marked
//   look, running:      read the marks ─▶ compare what is marked   nothing is cleared: marks only grow, the shadow decides
//   look, paused:       read ─▶ compare ─▶ clear if there are many  nothing is written in between
//
// Marks go with the mapping: a page that the system unmaps behind our backs (swap, huge pages that are split, a balloon that
// punches it out) and maps again for reading has none, whatever was written. So they are used only where none of that happens:
// no swap, no huge pages in shared memory, no balloon. A kernel may have no such marks: then there is never one.
//
// Source: Linux, Documentation/admin-guide/mm/soft-dirty.rst; fs/proc/task_mmu.c (clear_refs_write).
import type { HostFiles } from "../../ports/host-files.ts";
import type { QemuMachine } from "./machine.ts";

const CLEAR_SOFT_DIRTY = new TextEncoder().encode("4");
const SHARED_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/** Clears the marks of a process. Rejects with the system's error. */
export function clearSoftDirty(files: HostFiles, pid: number): Promise<void> {
	return files.write(`/proc/${pid}/clear_refs`, CLEAR_SOFT_DIRTY);
}

/** @returns in words, if the system may swap pages out */
export async function swapsHere(files: HostFiles): Promise<string | undefined> {
	const swaps = await textOf(files, "/proc/swaps");
	if (swaps === undefined) return "the system does not say whether it swaps";
	return swaps.trim().split("\n").length > 1
		? "the system has swap: pages that it swaps out lose their marks"
		: undefined;
}

/**
 * Finds out whether marks tell the truth about a machine that has just been started.
 * @param markedPages - how many pages of its RAM have a mark now
 * @returns why they do not; `undefined` if they do
 */
export async function whyNoSoftDirty(
	files: HostFiles,
	machine: QemuMachine,
	process: { readonly pid: number; readonly pageCount: number; markedPages(): Promise<number> },
): Promise<string | undefined> {
	if (machine.balloon === true) return "pages that a balloon punches out lose their marks";
	const swaps = await swapsHere(files);
	if (swaps !== undefined) return swaps;
	const huge = await textOf(files, SHARED_HUGE_PAGES);
	if (huge !== undefined && !/\[(never|deny)\]/.test(huge)) return "shared memory may have huge pages here";
	// A mapping that is new is marked as a whole, holes included.
	const before = await process.markedPages();
	if (before < process.pageCount) return "this kernel has no soft-dirty marks, or does not show them";
	try {
		await clearSoftDirty(files, process.pid);
	} catch (error) {
		return `marks cannot be cleared: ${error instanceof Error ? error.message : String(error)}`;
	}
	return (await process.markedPages()) < before ? undefined : "marks stay when they are cleared";
}

async function textOf(files: HostFiles, path: string): Promise<string | undefined> {
	const bytes = await files.read(path).catch(() => undefined); // what is not told is not trusted: see the callers
	return bytes && new TextDecoder().decode(bytes);
}
