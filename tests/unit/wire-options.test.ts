import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parseWireOptions } from "../../bindings/cli/wire-options.ts";

const test = suite("options of pageferry wire");

test("words become what is to be done", () => {
	const start = parseWireOptions([
		...["start", "--name", "lab", "--forward", "8080:80", "--forward", "9000:10.0.0.16:90", "--tcp", "0"],
	]);
	assert.equal(start, {
		...{ name: "lab", folder: undefined, action: "start", uplink: "user", guestIp: "10.0.0.15", tcpPort: 0 },
		pcapFile: undefined,
		forwards: [
			{ hostPort: 8080, guestIp: "10.0.0.15", guestPort: 80 },
			{ hostPort: 9000, guestIp: "10.0.0.16", guestPort: 90 },
		],
	});
	assert.equal(parseWireOptions(["status", "--json"]), {
		...{ name: "wire", folder: undefined, action: "status", isJson: true },
	});
	assert.equal(parseWireOptions(["fence", "--port", "a"]), {
		...{ name: "wire", folder: undefined, action: "fence", port: "a" },
	});
});

test("wrong words are refused by name", () => {
	for (const [args, message] of [
		[[], /use wire start, wire status, wire stop, wire fence/],
		[["dance"], /wire dance: use wire start/],
		[["start", "--uplink", "slirp"], /--uplink slirp: unknown; use user or passt or none/],
		[["start", "--forward", "80"], /--forward 80: as 8080:80/],
		[["start", "--forward", "0:80"], /a port is from 1/],
		[["start", "--forward", "8080:10.0.0.999:80"], /no IPv4 address/],
		[["start", "--uplink", "passt", "--forward", "8080:10.0.0.16:80"], /passt serves one guest/],
		[["start", "--uplink", "none", "--forward", "8080:80"], /has no clients/],
		[["start", "--json"], /--json: not for wire start/],
		[["stop", "--tcp", "9"], /--tcp: not for wire stop/],
		[["fence"], /--port names the port/],
		[["status", "--nonsense"], /nonsense/],
	] as const)
		assert.throws(() => parseWireOptions(args), message, args.join(" "));
});

test.run();
