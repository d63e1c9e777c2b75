// A wire as a process: `wire-process NAME FOLDER user|passt|none HOST:GUEST…`, ports of this host and of 10.0.0.15. Says
// `ready` and its pid, then nothing; ends with the wire.
import { startPasst, startUserNetwork } from "../../bindings/guests/qemu/index.ts";
import { oneMachine } from "../../bindings/network/one-machine.ts";
import { startWire } from "../../bindings/network/wire.ts";
import type { OpenUplink } from "../../bindings/network/wire-uplink.ts";
import { endWithParent, print, programArguments, thisPlatform } from "./this-runtime.ts";

const [name, folder, kind, ...rules] = programArguments;
endWithParent();
const platform = await thisPlatform();
const guestIp = "10.0.0.15";
const forwards = rules.map((rule) => {
	const [hostPort, guestPort] = rule.split(":").map(Number);
	return { hostPort: hostPort!, guestPort: guestPort!, guestIp };
});
const place = { folder: folder! };
const uplinks: Record<string, OpenUplink> = {
	user: (port) => startUserNetwork(platform, port.attach, { ...place, forwards }),
	passt: (port) => startPasst(platform, oneMachine(port, { ip: guestIp }), { ...place, guestIp, forwards }),
};
const uplink = uplinks[kind!];
const wire = await startWire(platform, { ...place, name: name!, ...(uplink && { uplink }) });
print(JSON.stringify({ pid: platform.files.pid, uplink: wire.status().uplink }));
await wire.stopped;
