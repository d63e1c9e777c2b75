// A process that takes v86 guests, one after another, and lets them run: the target of v86.bench.ts. Prints the address at which it
// listens, then `running` for each guest; is killed then, and ends by itself after five minutes.
import process from "node:process";
import { loadV86, V86GuestFactory } from "../../dist/guests-v86.js";
import { localPlatform, openLink, receiveGuest } from "../../dist/index.js";

const { clock, files, listen } = localPlatform();
const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
const door = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
console.log(JSON.stringify(door.address));
setTimeout(() => process.exit(), 300_000);
for (let before; ; ) {
	const link = openLink(await door.accept());
	await before?.discard();
	const result = await receiveGuest({ link, factories, clock });
	before = result.guest;
	console.log(result.outcome);
}
