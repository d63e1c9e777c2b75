/**
 * What a wire and its hosts say to each other, between the frames of one stream (frame-stream.ts): JSON, one object an order.
 *
 *   host ─▶ wire   join ─▶ frames, hold, seal, release, discard, open …        status · stop · fence: one question a connection
 *   wire ─▶ host   joined ─▶ frames …                                          status · done · refused: and the end
 *
 * Invariant: whatever comes is looked at field by field; what is no order of this version ends its connection.
 */
import type { StreamAddress } from "../ports/byte-stream.ts";
import { WireError, type WireErrorCode } from "./wire-error.ts";

/** Another version's orders are refused by name. */
export const WIRE_VERSION = 1;
/** A wire's name, and a port's: it is part of a file's name, and of what people read. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

/** What a host asks for. */
export type WireOrder =
	| {
			readonly order: "join";
			readonly version: number;
			readonly port: string;
			readonly holding: boolean;
			readonly epoch: number;
	  }
	| { readonly order: "hold" | "seal" | "open" }
	| { readonly order: "release" | "discard"; readonly epoch: number }
	| { readonly order: "status" | "stop" }
	| { readonly order: "fence"; readonly port: string };

/** What the wire answers. */
export type WireAnswer =
	| { readonly answer: "joined"; readonly pid: number }
	| { readonly answer: "done" }
	| { readonly answer: "status"; readonly status: WireStatus }
	| { readonly answer: "refused"; readonly code: WireErrorCode; readonly message: string };

/** How a wire is. */
export interface WireStatus {
	readonly name: string;
	readonly pid: number;
	readonly addresses: readonly StreamAddress[];
	/** The way to real clients: up, with its process, or down, with the reason. */
	readonly uplink:
		| { readonly state: "none" }
		| { readonly state: "up"; readonly pid: number }
		| { readonly state: "down"; readonly reason: string };
	readonly ports: readonly WirePortStatus[];
}

/** One port of a wire. */
export interface WirePortStatus {
	readonly name: string;
	/** Machines that were seen here last; the first eight. */
	readonly machines: readonly string[];
	/** Held by its gate. */
	readonly heldFrames: number;
	readonly heldBytes: number;
	/** Lost: no room in the gate; the port did not read; no frames at all. */
	readonly refusedFrames: number;
	readonly droppedFrames: number;
	readonly badFrames: number;
}

/** @throws RangeError naming the argument */
export function checkName(argument: string, name: string): string {
	if (NAME.test(name)) return name;
	throw new RangeError(
		`${argument}: up to 40 letters, digits, dots, dashes and underscores, got ${JSON.stringify(name)}`,
	);
}

/** As bytes. */
export const encodeOrder = (order: WireOrder | WireAnswer): Uint8Array<ArrayBuffer> =>
	new TextEncoder().encode(JSON.stringify(order));

/** @throws {WireError} `protocol` for what is no order */
export function decodeOrder(bytes: Uint8Array): WireOrder {
	const fields = fieldsOf(bytes);
	const order = fields.get("order");
	const [port, epoch, version] = [fields.get("port"), fields.get("epoch"), fields.get("version")];
	const isPort = typeof port === "string" && NAME.test(port);
	const isEpoch = typeof epoch === "number" && Number.isSafeInteger(epoch) && epoch >= 0;
	switch (order) {
		case "hold":
		case "seal":
		case "open":
		case "status":
		case "stop":
			return { order };
		case "release":
		case "discard":
			if (isEpoch) return { order, epoch };
			break;
		case "fence":
			if (isPort) return { order, port };
			break;
		case "join":
			if (isPort && isEpoch && epoch > 0 && typeof version === "number")
				return { order, version, port, holding: fields.get("holding") === true, epoch };
	}
	throw new WireError("protocol", `no order of a host: ${excerpt(bytes)}`);
}

/** @throws {WireError} `protocol` for what is no answer; what a refusal says, as it says it */
export function decodeAnswer(bytes: Uint8Array): Exclude<WireAnswer, { readonly answer: "refused" }> {
	const fields = fieldsOf(bytes);
	const answer = fields.get("answer");
	if (answer === "done") return { answer };
	const pid = fields.get("pid");
	if (answer === "joined" && typeof pid === "number") return { answer, pid };
	const status = fields.get("status");
	if (answer === "status" && isStatus(status)) return { answer, status };
	const [code, message] = [fields.get("code"), fields.get("message")];
	if (answer === "refused" && typeof message === "string")
		throw new WireError(CODES.find((one) => one === code) ?? "protocol", message);
	throw new WireError("protocol", `no answer of a wire: ${excerpt(bytes)}`);
}

const CODES: readonly WireErrorCode[] = ["port-taken", "fenced", "full", "protocol"];

const excerpt = (bytes: Uint8Array): string => JSON.stringify(new TextDecoder().decode(bytes.subarray(0, 100)));

function fieldsOf(bytes: Uint8Array): ReadonlyMap<string, unknown> {
	let value: unknown;
	try {
		value = JSON.parse(new TextDecoder().decode(bytes));
	} catch (cause) {
		throw new WireError("protocol", `no order at all: ${excerpt(bytes)}`, cause);
	}
	return new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
}

/** Wires are ours and of our version: what is shown to people is looked at no further than that it can be shown. */
function isStatus(value: unknown): value is WireStatus {
	if (typeof value !== "object" || value === null) return false;
	const fields = new Map<string, unknown>(Object.entries(value));
	const uplink = fields.get("uplink");
	return (
		typeof fields.get("name") === "string" &&
		typeof fields.get("pid") === "number" &&
		Array.isArray(fields.get("addresses")) &&
		Array.isArray(fields.get("ports")) &&
		typeof uplink === "object" &&
		uplink !== null
	);
}
