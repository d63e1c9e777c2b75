// A host of one Linux, at a wire: `wire-host WIRE FOLDER PORT [ADDRESS]`. Without an address it boots the Linux, which gives back
// what it is sent at its ports 9000 and 9001, and hands it to the first who connects; with one it takes the Linux from there. Says
// `ready`, with its address, once that can begin, and `moved` or `running` when it has.
import { QemuGuestFactory, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { connectWire } from "../../bindings/network/wire-client.ts";
import { isUp, linuxMachine } from "../qemu/linux.ts";
import { nextLine } from "../qemu/stage.ts";
import { endWithParent, print, programArguments, thisPlatform } from "./this-runtime.ts";

const [wireName, folder, portName, address] = programArguments;
endWithParent();
const platform = await thisPlatform();
const { clock, random, listen, connect } = platform;
const say = (news: object): void => print(JSON.stringify(news));
const machine = linuxMachine(15);
const port = await connectWire(platform, {
	...{ name: wireName!, folder: folder!, port: portName! },
	onChange: (isConnected) => say({ news: isConnected ? "back" : "lost" }),
});
const place = { machine, folder: folder!, network: port.attach };
if (address === undefined) {
	const guest = await startQemuGuest(platform, { ...place, booted: isUp });
	const serving = nextLine(guest, (line) => line.endsWith("both serve"));
	const listening = [9000, 9001].map((number) => `netstat -ltn | grep -q :${number}`).join(" && ");
	await guest.console.write(
		`wire serve 9000 &\n wire serve 9001 &\n until ${listening}; do sleep 0.05; done; echo both serve\n`,
	);
	await serving;
	const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	say({ news: "ready", address: door.address });
	const link = openLink((await door.accept())!);
	const { outcome } = await preCopy({ guest, link, clock, random });
	say({ news: outcome });
} else {
	const factory = await QemuGuestFactory.open(platform, place);
	await factory.prepareStandbys(1);
	say({ news: "ready" });
	const link = openLink(await connect(JSON.parse(address)));
	const { outcome } = await receiveGuest({ link, factories: [factory], clock });
	say({ news: outcome });
}
await new Promise(() => setInterval(() => undefined, 1000));
