// Takes a v86 guest that another process leaves behind, lets it run while its pages follow, and leaves it behind in turn:
// `v86-left-behind ADDRESS`. Prints the address at which it waits; then, as JSON, what came of it.
import { openLink } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { platform } from "../v86/linux.ts";
import { Console } from "../v86/move.ts";
import { garbageFactory } from "../v86/post-copy.ts";
import { print, programArguments } from "./this-runtime.ts";

const [address = ""] = programArguments;
const { clock, random, listen, connect } = platform;
const console = new Console();
const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
print(JSON.stringify(door.address));
const link = openLink((await door.accept())!);
const received = await receiveGuest({ link, factories: [garbageFactory(console)], clock });
if (received.outcome !== "running") throw new Error(`no guest came: ${received.outcome}`);
const pages = (await received.paging?.ended)?.outcome;
await console.more(30);
const onward = openLink(await connect(JSON.parse(address)));
const result = await hybrid({ guest: received.guest, link: onward, clock, random });
const runtime = "Deno" in globalThis ? "deno" : "node";
print(JSON.stringify({ runtime, pages, outcome: result.outcome, text: console.text }));
await door.close();
