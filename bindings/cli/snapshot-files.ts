/**
 * Images in files, or on standard output and input. A file gets its name only when it is whole: what is written goes to a file
 * beside it first, which is removed when anything fails.
 */
import { createReadStream, existsSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { messageWithCauses } from "./failure.ts";

/** A file that could not be read or written. */
class FileError extends Error {
	override readonly name = "FileError";
	readonly code = "file";
}

/** @param file - `-` for standard output. @returns bytes written. @throws {FileError}; what `chunks` throws. */
export async function writeImage(file: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
	if (file === "-") return writeOut(chunks);
	const beside = `${file}.${process.pid}.part`;
	const handle = await doing(file, open(beside, "wx"));
	let byteLength = 0;
	try {
		for await (const chunk of chunks) {
			await doing(file, writeAll(handle, chunk));
			byteLength += chunk.byteLength;
		}
		await doing(file, handle.sync());
		await handle.close();
		await doing(file, rename(beside, file));
		await doing(file, syncFolder(dirname(file)));
		return byteLength;
	} catch (error) {
		await handle.close().catch(() => undefined); // the first failure is what counts
		await rm(beside, { force: true }).catch(() => undefined); // likewise: it is a file that nobody takes for an image
		throw error;
	}
}

/** @throws {FileError} if there is no such file. */
export function checkImage(file: string): void {
	if (file !== "-" && !existsSync(file)) throw new FileError(`${file}: there is no such file`);
}

/** @param file - `-` for standard input. @throws {FileError}; the signal's reason, also while it waits for somebody to write. */
export async function* readImage(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
	const stream = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: 1024 * 1024 });
	const stop = (): void => void stream.destroy();
	signal.addEventListener("abort", stop, { once: true });
	try {
		for await (const chunk of stream) if (chunk instanceof Uint8Array) yield chunk; // always: no encoding was asked for
	} catch (cause) {
		signal.throwIfAborted();
		throw fileError(file, cause);
	} finally {
		signal.removeEventListener("abort", stop);
	}
	signal.throwIfAborted();
}

async function writeOut(chunks: AsyncIterable<Uint8Array>): Promise<number> {
	let byteLength = 0;
	for await (const chunk of chunks) {
		byteLength += chunk.byteLength;
		// A chunk may be used again once the next one is asked for: it has to be gone.
		await new Promise<void>((resolve, reject) => {
			process.stdout.write(chunk, (error) => (error ? reject(fileError("standard output", error)) : resolve()));
		});
	}
	return byteLength;
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
	for (let at = 0; at < chunk.byteLength; ) at += (await handle.write(chunk, at)).bytesWritten;
}

async function syncFolder(path: string): Promise<void> {
	const handle = await open(path, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

async function doing<Value>(file: string, work: Promise<Value>): Promise<Value> {
	try {
		return await work;
	} catch (cause) {
		throw fileError(file, cause);
	}
}

const fileError = (file: string, cause: unknown): FileError =>
	new FileError(`${file}: ${messageWithCauses(cause)}`, { cause });
