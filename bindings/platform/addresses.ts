/**
 * Which addresses may be used at all. A snapshot is executable state and holds secrets, and links are neither encrypted
 * nor authenticated yet: so streams stay on this machine, both to listen and to connect.
 *
 * Allowed: `localhost` (always 127.0.0.1, no resolver is asked), `127.a.b.c` as four plain decimal numbers, `::1`, and
 * unix-domain sockets with a file. Refused, although some resolver would lead them to loopback or beyond:
 *
 * | spelling | why |
 * | --- | --- |
 * | `0.0.0.0`, `::`, empty | every interface |
 * | `::ffff:127.0.0.1` | a dual-stack socket: whether it is loopback depends on the system's settings |
 * | `127.1`, `0x7f.1`, `0177.0.0.1`, `2130706433` | resolvers disagree about them |
 * | `localhost.`, `localhost.example`, any other name | a name is whatever the resolver says today |
 * | `[::1]`, `::1%lo`, `0:0:0:0:0:0:0:1` | one spelling per address |
 * | a unix path that begins with a zero byte | an abstract socket has no file and so no permissions |
 */
import type { StreamAddress } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";

/**
 * Longest path of a unix-domain socket, in bytes of UTF-8: macOS's limit (Linux has 107), so that an address that works
 * here works there. Systems cut longer paths off or fail without saying why.
 */
export const MAX_UNIX_PATH_BYTES = 103;

const DECIMAL_BYTE = /^(0|[1-9][0-9]{0,2})$/;

/** @returns the literal loopback address that `host` stands for, or `undefined` if it is not one (see the head of this file). */
function loopbackAddress(host: string): string | undefined {
	if (host === "localhost") return "127.0.0.1";
	if (host === "::1") return host;
	const parts = host.split(".");
	const isIpv4 = parts.length === 4 && parts.every((part) => DECIMAL_BYTE.test(part) && Number(part) <= 255);
	return isIpv4 && parts[0] === "127" ? host : undefined;
}

/** What the address is used for: port 0 means "any free port" to a listener and nothing to a connection. */
export type AddressUse = "listen" | "connect";

/**
 * Checks an address and makes its host a literal.
 * @throws {LinkError} `refused` if it is not allowed; RangeError naming the port.
 */
export function checkAddress(address: StreamAddress, use: AddressUse): StreamAddress {
	if (address.transport === "unix") {
		checkUnixPath(address.path);
		return address;
	}
	const lowestPort = use === "listen" ? 0 : 1;
	if (!Number.isInteger(address.port) || address.port < lowestPort || address.port > 65_535)
		throw new RangeError(`address.port: must be a whole number from ${lowestPort} to 65535, got ${address.port}`);
	const host = loopbackAddress(address.host);
	if (host === undefined) {
		const allowed = "use localhost, 127.0.0.1, ::1 or a unix-domain socket, and a tunnel to reach another machine";
		throw new LinkError(
			"refused",
			`cannot ${use} ${use === "listen" ? "on" : "to"} "${address.host}": links are not encrypted yet and stay on this machine; ${allowed}`,
		);
	}
	return { transport: "tcp", host, port: address.port };
}

function checkUnixPath(path: string): void {
	const byteLength = new TextEncoder().encode(path).byteLength;
	const problem =
		path === ""
			? "it is empty"
			: path.includes("\0")
				? "it contains a zero byte (an abstract socket has no file permissions)"
				: byteLength > MAX_UNIX_PATH_BYTES
					? `it has ${byteLength} bytes, and systems take at most ${MAX_UNIX_PATH_BYTES}; use a shorter folder`
					: undefined;
	if (problem !== undefined)
		throw new LinkError("refused", `unix-domain socket path ${JSON.stringify(path)}: ${problem}`);
}

/** @returns the address as people write it. */
export function describeAddress(address: StreamAddress): string {
	if (address.transport === "unix") return address.path;
	return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
