/** The options of `pageferry wire`: words in, checked values out. */
import { parseArgs } from "node:util";
import { UsageError } from "./options.ts";

/** A port of this machine's loopback address that leads to one of a guest's. */
export interface WireForward {
	readonly hostPort: number;
	readonly guestIp: string;
	readonly guestPort: number;
}

/** Which wire. */
export interface WireName {
	readonly name: string;
	readonly folder: string | undefined;
}

/** What `pageferry wire` does. */
export type WireCommand = WireName &
	(
		| {
				readonly action: "start";
				readonly uplink: "user" | "passt" | "none";
				readonly guestIp: string;
				readonly forwards: readonly WireForward[];
				readonly tcpPort: number | undefined;
				readonly pcapFile: string | undefined;
		  }
		| { readonly action: "status"; readonly isJson: boolean }
		| { readonly action: "stop" }
		| { readonly action: "fence"; readonly port: string }
	);

const OPTIONS = {
	name: { type: "string", default: "wire" },
	folder: { type: "string" },
	uplink: { type: "string", default: "user" },
	"guest-ip": { type: "string", default: "10.0.0.15" },
	forward: { type: "string", multiple: true },
	tcp: { type: "string" },
	pcap: { type: "string" },
	json: { type: "boolean", default: false },
	port: { type: "string" },
} as const;

/** Which options go with which action, beside `--name` and `--folder`. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
	start: ["uplink", "guest-ip", "forward", "tcp", "pcap"],
	status: ["json"],
	stop: [],
	fence: ["port"],
};
const UPLINKS = ["user", "passt", "none"] as const;
const IP = /^\d{1,3}(\.\d{1,3}){3}$/;

/** @throws {UsageError} */
export function parseWireOptions(args: readonly string[]): WireCommand {
	const { values, positionals, given } = words(args);
	const [action = "", ...more] = positionals;
	const allowed = ALLOWED[action];
	if (allowed === undefined || more.length > 0)
		throw new UsageError(`wire ${positionals.join(" ")}: use wire ${Object.keys(ALLOWED).join(", wire ")}`);
	for (const option of given)
		if (!["name", "folder", ...allowed].includes(option))
			throw new UsageError(`--${option}: not for wire ${action}, which takes ${allowed.map((one) => `--${one}`)}`);
	const which = { name: values.name, folder: values.folder };
	if (action === "status") return { ...which, action, isJson: values.json };
	if (action === "stop") return { ...which, action };
	if (action === "fence") {
		if (values.port === undefined) throw new UsageError("wire fence: --port names the port that is cut off");
		return { ...which, action, port: values.port };
	}
	const uplink = UPLINKS.find((one) => one === values.uplink);
	if (uplink === undefined) throw new UsageError(`--uplink ${values.uplink}: unknown; use ${UPLINKS.join(" or ")}`);
	const guestIp = address("--guest-ip", values["guest-ip"]);
	const forwards = (values.forward ?? []).map((text) => forward(text, guestIp));
	if (uplink === "none" && forwards.length > 0) throw new UsageError("--forward: --uplink none has no clients");
	const other = forwards.find((one) => one.guestIp !== guestIp);
	if (uplink === "passt" && other !== undefined)
		throw new UsageError(
			`--forward …:${other.guestIp}:…: passt serves one guest, --guest-ip ${guestIp}; use --uplink user`,
		);
	const tcpPort = values.tcp === undefined ? undefined : portNumber("--tcp", values.tcp, 0);
	return { ...which, action: "start", uplink, guestIp, forwards, tcpPort, pcapFile: values.pcap };
}

function words(args: readonly string[]) {
	try {
		const parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, tokens: true });
		return { ...parsed, given: parsed.tokens.flatMap((token) => (token.kind === "option" ? [token.name] : [])) };
	} catch (cause) {
		const message = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
		throw new UsageError(`wire: ${message.replace(/\. To specify .*$/, "")}`, { cause });
	}
}

/** `8080:80`, to the guest that is named elsewhere, or `8080:10.0.0.16:80`. */
function forward(text: string, usualIp: string): WireForward {
	const parts = text.split(":");
	const [host = "", ip, guest] = parts.length === 2 ? [parts[0], usualIp, parts[1]] : parts;
	if (ip === undefined || guest === undefined || parts.length > 3)
		throw new UsageError(`--forward ${text}: as 8080:80, or 8080:10.0.0.16:80`);
	const option = `--forward ${text}`;
	return {
		hostPort: portNumber(option, host, 1),
		guestIp: address(option, ip),
		guestPort: portNumber(option, guest, 1),
	};
}

function portNumber(option: string, text: string, least: number): number {
	const port = /^\d+$/.test(text) ? Number(text) : -1;
	if (port < least || port > 65_535) throw new UsageError(`${option}: a port is from ${least} to 65535, got ${text}`);
	return port;
}

function address(option: string, text: string): string {
	if (IP.test(text) && text.split(".").every((part) => Number(part) <= 255)) return text;
	throw new UsageError(`${option}: no IPv4 address: ${text}`);
}
