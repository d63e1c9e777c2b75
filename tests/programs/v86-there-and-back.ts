// Takes a v86 guest that another process moves here, lets it work, and moves it on: `v86-there-and-back ADDRESS letters|loads|steps`.
// Prints the address at which it waits; then, as JSON, what came of it.
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { linuxFactory, platform, threeMore } from "../v86/linux.ts";
import { Console, heardFactory } from "../v86/move.ts";
import { print, programArguments } from "./this-runtime.ts";

const [address = "", work = ""] = programArguments;
const { clock, random, listen, connect } = platform;
const console = new Console();
const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
print(JSON.stringify(door.address));
const link = openLink((await door.accept())!);
const received = await receiveGuest({ link, factories: [heardFactory(linuxFactory(), console)], clock });
const guest = received.outcome === "running" ? received.guest : undefined;
if (!(guest instanceof V86Guest)) throw new Error(`no guest came: ${received.outcome}`);
const arrivedSteps = guest.steps;
if (work === "letters") await console.more(30);
else if (work === "loads") await threeMore(console);
else while (guest.steps < arrivedSteps + 30) await clock.sleep(1);
const onward = openLink(await connect(JSON.parse(address)));
const result = await preCopy({ guest, link: onward, clock, random });
print(JSON.stringify({ runtime: "Deno" in globalThis ? "deno" : "node", outcome: result.outcome, text: console.text }));
await guest.discard();
await door.close();
