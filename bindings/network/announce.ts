// Where a machine is after a move: frames that it, or somebody for it, sends from its new port, so that switches send there.

const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/** The smallest frame without its checksum: padded with zeros. */
const SMALLEST_BYTES = 60;
const ADDRESS = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/**
 * A reverse ARP request as QEMU's machines send it (RFC 903: "who am I?"): needs no IP address, and switches learn from it.
 * @param address - `52:54:00:…`
 * @throws RangeError
 */
export function rarpAnnouncement(address: string): Uint8Array<ArrayBuffer> {
	const own = addressBytes(address);
	return arp(0x8035, 3, { own, ownIp: [0, 0, 0, 0], target: own, targetIp: [0, 0, 0, 0] });
}

/**
 * A gratuitous ARP (RFC 5227: an announcement): also peers that had another address for this IP learn from it.
 * @param address - `52:54:00:…` @param ip - `10.0.0.2`
 * @throws RangeError
 */
export function arpAnnouncement(address: string, ip: string): Uint8Array<ArrayBuffer> {
	const own = addressBytes(address);
	const ownIp = ipBytes("ip", ip);
	return arp(0x0806, 1, { own, ownIp, target: [0, 0, 0, 0, 0, 0], targetIp: ownIp });
}

/** Who has this IP? @param own - who asks @param ownIp - with which IP @param targetIp - four numbers, as the others */
export function arpQuestion(
	own: readonly number[],
	ownIp: readonly number[],
	targetIp: readonly number[],
): Uint8Array<ArrayBuffer> {
	return arp(0x0806, 1, { own, ownIp, target: [0, 0, 0, 0, 0, 0], targetIp });
}

/** @returns four numbers. @throws RangeError naming the argument */
export function ipBytes(argument: string, ip: string): readonly number[] {
	const bytes = /^\d+(\.\d+){3}$/.test(ip) ? ip.split(".").map(Number) : [];
	if (bytes.length === 4 && bytes.every((part) => part <= 255)) return bytes;
	throw new RangeError(`${argument}: must be an IPv4 address, got ${ip}`);
}

interface ArpFields {
	readonly own: readonly number[];
	readonly ownIp: readonly number[];
	readonly target: readonly number[];
	readonly targetIp: readonly number[];
}

/** Ethernet header; hardware Ethernet, protocol IPv4, their lengths, the operation; sender and target. */
function arp(etherType: number, operation: number, fields: ArpFields): Uint8Array<ArrayBuffer> {
	const { own, ownIp, target, targetIp } = fields;
	const frame = new Uint8Array(SMALLEST_BYTES);
	frame.set([...BROADCAST, ...own, etherType >> 8, etherType & 255]);
	frame.set([0, 1, 8, 0, 6, 4, 0, operation, ...own, ...ownIp, ...target, ...targetIp], 14);
	return frame;
}

function addressBytes(address: string): readonly number[] {
	if (!ADDRESS.test(address)) throw new RangeError(`address: must be like 52:54:00:00:00:01, got ${address}`);
	return address.split(":").map((part) => Number.parseInt(part, 16));
}
