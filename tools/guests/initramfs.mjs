// An initramfs: an archive in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst),
// gzip-compressed. Entries have no owner but root, no date, and come in one order: the same input gives the same bytes.
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const DIRECTORY = 0o040755;
const REGULAR = 0o100000;
const CHARACTER_DEVICE = 0o020600;
const FOLDERS = ["bin", "dev", "lib", "lib/modules", "proc", "sys", "tmp"];

/** One entry: 13 fields of eight hexadecimal digits after the magic, name and content each padded to 4 bytes. */
function entry(inode, path, mode, bytes = Buffer.alloc(0), device = [0, 0]) {
	const name = Buffer.from(`${path}\0`);
	const links = mode === DIRECTORY ? 2 : 1;
	const fields = [inode, mode, 0, 0, links, 0, bytes.length, 0, 0, ...device, name.length, 0];
	const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
	const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4);
	return Buffer.concat([head, name, padding(head.length + name.length), bytes, padding(bytes.length)]);
}

/** @param files - `{ path, mode, bytes }`, relative to the root */
export function writeInitramfs(place, files) {
	writeFileSync(place, gzipSync(archive(files), { level: 9 }));
}

/**
 * The archive as it is. One may follow another, at a multiple of 4 bytes: the kernel unpacks both.
 * @param folders - besides those that every one has, each after the one it is in
 */
export function archive(files, folders = []) {
	let inode = 1;
	const parts = [...FOLDERS, ...folders].map((path) => entry(inode++, path, DIRECTORY));
	parts.push(entry(inode++, "dev/console", CHARACTER_DEVICE, undefined, [5, 1]));
	for (const { path, mode, bytes } of files) parts.push(entry(inode++, path, REGULAR | mode, bytes));
	parts.push(entry(inode, "TRAILER!!!", 0));
	return Buffer.concat(parts);
}
