/** A file that is being read. Reads may overlap. */
export interface OpenFile {
	readonly byteLength: number;
	/** @returns bytes read: fewer than asked only at the end of the file. */
	read(offset: number, into: Uint8Array): Promise<number>;
	close(): Promise<void>;
}

/** A file that is being written. */
export interface NewFile {
	/** Writes all of these bytes at `offset`. Writes may overlap. */
	write(offset: number, bytes: Uint8Array): Promise<void>;
	/** @returns bytes read: fewer than asked only at the end of the file. */
	read(offset: number, into: Uint8Array): Promise<number>;
	/** Waits until the medium has all that was written before. */
	sync(): Promise<void>;
	close(): Promise<void>;
}

/** The file operations of a folder store: what differs between platforms, and what a test can make fail. */
export interface FolderFiles {
	/** The process that writes. */
	readonly pid: number;
	isProcessAlive(pid: number): boolean;
	/** Makes one folder. Rejects `EEXIST`, `ENOENT` without a parent. */
	makeFolder(path: string): Promise<void>;
	/** Names in a folder, in any order. */
	names(path: string): Promise<readonly string[]>;
	/** Makes a file that does not exist, writes all of it and waits until the medium has it. Rejects `EEXIST`. */
	writeNew(path: string, bytes: Uint8Array): Promise<void>;
	/** Makes a file that does not exist, to be written piece by piece. Rejects `EEXIST`. */
	create(path: string): Promise<NewFile>;
	/** Opens a file for many reads. */
	open(path: string): Promise<OpenFile>;
	/** At most `byteLength` bytes from `offset` on; fewer only at the end of the file. */
	read(path: string, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
	/** Size of a file, in bytes. */
	byteLength(path: string): Promise<number>;
	/** Waits until the medium has the folder's names. */
	syncFolder(path: string): Promise<void>;
	/** A second name for a file. Rejects `EEXIST`. */
	link(from: string, to: string): Promise<void>;
	/** Moves a file or folder. Onto a folder that is not empty it rejects `ENOTEMPTY` or `EEXIST`. */
	rename(from: string, to: string): Promise<void>;
	/** Removes a file. */
	remove(path: string): Promise<void>;
	/** Removes an empty folder. Rejects `ENOTEMPTY` or `EEXIST` for one that is not. */
	removeFolder(path: string): Promise<void>;
	/** Removes a file or a folder with all that is in it; a missing one is fine. */
	removeTree(path: string): Promise<void>;
}
