// A process that takes one v86 guest and lets it run: the target of v86.bench.ts. Prints the address at which it listens, then
// `running` once the guest does; is killed then, and ends by itself after a minute.
import process from "node:process";
import { loadV86, V86GuestFactory } from "../../dist/guests-v86.js";
import { localPlatform, openLink, receiveGuest } from "../../dist/index.js";

const { clock, files, listen } = localPlatform();
const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
console.log(JSON.stringify(door.address));
setTimeout(() => process.exit(), 60_000);
const result = await receiveGuest({ link: openLink(await door.accept()), factories, clock });
console.log(result.outcome);
