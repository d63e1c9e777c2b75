/**
 * Where wires are: a socket `wire-NAME.sock` for each, in a folder that only this user may enter. Who listens at it has the name; the file
 * of one that was killed is taken over, or removed by the next wire that starts in the folder.
 */
import type { ByteStream, ByteStreamListener, StreamAddress } from "../ports/byte-stream.ts";
import type { Clock } from "../ports/clock.ts";
import type { HostFiles } from "../ports/host-files.ts";
import { LinkError } from "../ports/link.ts";
import type { Platform } from "../ports/platform.ts";
import { readFrames, writeOrder } from "./frame-stream.ts";
import { WireError } from "./wire-error.ts";
import { decodeAnswer, encodeOrder, type WireAnswer, type WireOrder } from "./wire-orders.ts";

/** @returns where wires are unless a folder is named: where QEMU's own files are (`pageferry/guests/qemu`) */
export const defaultWireFolder = ({ userId }: HostFiles): string => `/dev/shm/pageferry-${userId ?? "user"}`;
const SOCKET = /^wire-(.+)\.sock$/;
/** Names that a listener uses until its socket is published: one that is killed before leaves them (`ownSocketPath` and claims). */
const UNPUBLISHED = /^\.[0-9a-z]+(-[0-9a-f]{4})?$/;
/** How long a wire may take to answer, in ms. */
const ANSWER_MS = 10_000;
/** A name that nobody answers for is just being taken, or given up: how often that is looked at again, and after how long. */
const CLAIMS = 40;
const CLAIM_MS = 25;

type Services = Pick<Platform, "clock" | "connect">;

/** @returns the socket of a wire */
export const wirePath = (folder: string, name: string): string => `${folder}/wire-${name}.sock`;

/** @throws {WireError} `name-taken`; {@link LinkError} `refused` when the path cannot be listened at */
export async function claimWire(
	services: Pick<Platform, "clock" | "connect" | "listen">,
	path: string,
	name: string,
): Promise<ByteStreamListener> {
	for (let claim = 1; ; claim++)
		try {
			return await services.listen({ transport: "unix", path });
		} catch (error) {
			if (!(error instanceof LinkError) || error.code !== "refused") throw error;
			const owner = await ownerOf(services, path);
			if (owner !== undefined) throw nameTaken(name, owner);
			if (claim >= CLAIMS) throw error;
			await services.clock.sleep(CLAIM_MS);
		}
}

const nameTaken = (name: string, owner: string): WireError =>
	new WireError("name-taken", `a wire named ${name} runs already (${owner}): stop it, or take another name`);

/** Who answers at this socket, in words; `undefined`: nobody. */
async function ownerOf(services: Services, path: string): Promise<string | undefined> {
	try {
		const answer = await ask(services, { transport: "unix", path }, { order: "status" });
		return answer.answer === "status" ? `process ${answer.status.pid}` : "it does not say who it is";
	} catch (error) {
		if (!(error instanceof WireError)) throw error;
		return error.code === "no-wire" ? undefined : error.message;
	}
}

/**
 * Removes the sockets of wires that were killed, whether they had their names already or not yet. One that is just being started is not
 * harmed: its socket answers from the moment it is there (but between `bind` and `listen`: then its start tries again). A file that is no
 * socket stays.
 * @param except - the name that is about to be claimed
 */
export async function sweepWires(
	services: Pick<Platform, "clock" | "connect" | "listen" | "files">,
	folder: string = defaultWireFolder(services.files),
	except?: string,
): Promise<void> {
	for (const file of await services.files.names(folder)) {
		const name = SOCKET.exec(file)?.[1];
		if (name === undefined ? !UNPUBLISHED.test(file) : name === except) continue;
		const address: StreamAddress = { transport: "unix", path: `${folder}/${file}` };
		try {
			(await services.connect(address)).abort("only knocking");
		} catch (error) {
			if (!(error instanceof LinkError)) throw error;
			// Listening takes a dead socket over, and closing removes it.
			const taken = await services.listen(address).catch(() => undefined); // somebody was faster, and does it
			await taken?.close();
		}
	}
}

/**
 * Asks a wire one question.
 * @throws {WireError} `no-wire`, `no-answer`, `protocol`, or what the wire refuses with
 */
export async function ask(
	services: Services,
	address: StreamAddress,
	order: WireOrder,
): Promise<Exclude<WireAnswer, { readonly answer: "refused" }>> {
	const stream = await reach(services, address);
	try {
		return await inTime(services.clock, stream, async () => {
			await writeOrder(stream, encodeOrder(order));
			return onlyAnswer(stream);
		});
	} finally {
		stream.abort("answered");
	}
}

/** @throws {WireError} `no-wire` */
export async function reach({ connect }: Services, address: StreamAddress, signal?: AbortSignal): Promise<ByteStream> {
	try {
		return await connect(address, signal === undefined ? {} : { signal });
	} catch (cause) {
		if (!(cause instanceof LinkError) || cause.code !== "refused") throw cause;
		const where = address.transport === "unix" ? address.path : `${address.host}:${address.port}`;
		throw new WireError("no-wire", `no wire at ${where}: start one with \`pageferry wire start\``, cause);
	}
}

/** Work on a stream that must not take for ever. @throws {WireError} `no-answer`, `protocol` */
export async function inTime<T>(clock: Clock, stream: ByteStream, work: () => Promise<T>): Promise<T> {
	const timer = new AbortController();
	let isLate = false;
	clock.sleep(ANSWER_MS, timer.signal).then(
		() => {
			isLate = true;
			stream.abort("no answer");
		},
		() => undefined, // answered
	);
	try {
		return await work();
	} catch (cause) {
		if (isLate) throw new WireError("no-answer", `the wire has not answered within ${ANSWER_MS} ms`, cause);
		if (cause instanceof LinkError) throw new WireError("no-wire", "the wire ended before it answered", cause);
		throw cause;
	} finally {
		timer.abort();
	}
}

/** After its answer the wire ends the connection. */
async function onlyAnswer(stream: ByteStream): Promise<Exclude<WireAnswer, { readonly answer: "refused" }>> {
	const answers: Uint8Array[] = [];
	for await (const _ of readFrames(stream, (bytes) => void answers.push(bytes)));
	const [answer] = answers;
	if (answer === undefined) throw new WireError("no-wire", "the wire ended before it answered");
	return decodeAnswer(answer);
}
