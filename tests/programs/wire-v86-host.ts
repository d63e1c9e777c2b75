// A host of one Linux in v86, at a wire: `wire-v86-host WIRE FOLDER PORT TECHNIQUE [ADDRESS]`. Without an address it wakes the Linux,
// which gives back what it is sent at its ports 9000 and 9001 at 10.0.0.15, and hands it to the first who connects; with one it
// takes the Linux from there. Says `ready`, with its address, once that can begin, and `moved` or `running` when it has.
import { openLink } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { connectWire } from "../../bindings/network/wire-client.ts";
import { linuxFactory, openLinux, platform, shell } from "../v86/linux.ts";
import { workerFactory } from "../v86/worker-guests.ts";
import { endWithParent, print, programArguments } from "./this-runtime.ts";

const [wireName, folder, portName, technique, address] = programArguments;
endWithParent();
const { clock, random, listen, connect } = platform;
const say = (news: object): void => print(JSON.stringify(news));
const network = await connectWire(platform, {
	...{ name: wireName!, folder: folder!, port: portName! },
	onChange: (isConnected) => say({ news: isConnected ? "back" : "lost" }),
});
if (address === undefined) {
	const { guest, console } = await openLinux({ network });
	await guest.resume();
	const listening = [9000, 9001].map((number) => `netstat -ltn | grep -q :${number}`).join(" && ");
	await shell(
		guest,
		console,
		"ip addr flush dev eth0; ip addr add 10.0.0.15/24 dev eth0; wire serve 9000 & wire serve 9001 & " +
			`until ${listening}; do sleep 0.05; done`,
	);
	const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	say({ news: "ready", address: door.address, mac: guest.network.macAddress });
	const link = openLink((await door.accept())!);
	const move = technique === "post-copy" ? postCopy : preCopy;
	const { outcome } = await move({ guest, link, clock, random });
	say({ news: outcome });
} else {
	const factory = technique === "post-copy" ? workerFactory({ network }) : linuxFactory({ network });
	say({ news: "ready" });
	const link = openLink(await connect(JSON.parse(address)));
	const { outcome } = await receiveGuest({ link, factories: [factory], clock });
	say({ news: outcome });
}
await new Promise(() => setInterval(() => undefined, 1000));
