/**
 * Files and processes of this machine as a port: for guests that are processes, whose memory is a file, and whose sockets
 * and files outlive an owner that was killed. Every call rejects with the system's own error unless it says otherwise.
 */
export interface HostFiles {
	/** Our own process. */
	readonly pid: number;
	/** The user that it runs as; `undefined` where the system has no such numbers. */
	readonly userId: number | undefined;
	/** Makes a folder that only this user may enter; one that is there already is taken if it is just such a folder. */
	makePrivateFolder(path: string): Promise<void>;
	/** The names in a folder; none if it does not exist. */
	names(path: string): Promise<readonly string[]>;
	/** A whole file, `/proc` included; `undefined` if it does not exist or its process has ended. */
	read(path: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
	/** Writes a file that only this user may read, in place of one that is there. */
	write(path: string, bytes: Uint8Array): Promise<void>;
	/** Where a symbolic link leads; `undefined` if there is none. */
	readLink(path: string): Promise<string | undefined>;
	/** Makes a new file of that many zeros that take no room until they are written. */
	makeSparse(path: string, byteLength: number): Promise<void>;
	/** Bytes that this user may still write below a folder; `undefined` where the system does not say. */
	freeBytes(path: string): Promise<number | undefined>;
	/** Removes a folder with all that is in it; a missing one is no error. */
	removeTree(path: string): Promise<void>;
	/** Ends a process at once; one that has ended is no error. */
	kill(pid: number): void;
}

/** Files that hold a guest's pages, read and written in place by the thread that asks: for workers. */
export interface PageFiles {
	/** Opens a file for both. Throws the system's error. */
	open(path: string): PageFile;
	/** Opens a file that is only read, `/proc` included. Throws the system's error. */
	openToRead(path: string): PageSource;
}

/** An open file that is read in place. */
export interface PageSource {
	/** Fills `target` from `byteOffset` on. Throws the system's error, or RangeError when the file ends before. */
	read(target: Uint8Array, byteOffset: number): void;
	close(): void;
}

/** An open file of pages. */
export interface PageFile extends PageSource {
	/** Bytes that it takes in memory or on the disk, what was swapped out included: holes take none. Throws the system's error. */
	allocatedBytes(): number;
	/** Writes all of `bytes`. Throws the system's error. */
	write(bytes: Uint8Array, byteOffset: number): void;
}
