// Pre-copy of a WebAssembly guest while it works: Lua counts, moves in mid-count, and counts on.
import {
	CallError,
	localPlatform,
	openLinkPair,
	preCopy,
	receiveGuest,
	startWasmGuest,
	WasmGuest,
	WasmGuestFactory,
} from "pageferry";

const { clock, random, workers } = localPlatform();
const program = import.meta.url.endsWith(".ts") ? "./programs/lua.ts" : "./programs/lua.js";
const programUrl = new URL(program, import.meta.url).href;
const request = (number: number) => ({ number, request: "data.count = (data.count or 0) + 1 return data.count" });

const source = await startWasmGuest({ workers, clock, programUrl });
await source.call({ ballastMiB: 16 }); // something to move
const [near, far] = openLinkPair();
const factory = await WasmGuestFactory.open({ workers, clock, programUrls: [programUrl] });
const arriving = receiveGuest({ link: far, factories: [factory], clock });
const moving = preCopy({ guest: source, link: near, clock, random });

// Calls that the source has not started when it leaves come back as `moved`, and go to the target.
let number = 1;
for (let here = true; here; ) {
	try {
		const answer = await source.call(request(number));
		if (answer !== `number:${number}`) throw new Error(`number ${number} was answered ${answer}`);
		number++;
	} catch (error) {
		if (!(error instanceof CallError) || error.code !== "moved") throw error;
		here = false;
	}
}
const [result, arrived] = await Promise.all([moving, arriving]);
if (result.outcome !== "moved" || arrived.outcome !== "running" || !(arrived.guest instanceof WasmGuest))
	throw new Error(`the guest was ${result.outcome}`);
const answer = await arrived.guest.call(request(number));
await arrived.guest.discard();
if (answer !== `number:${number}`) throw new Error(`number ${number} was answered ${answer}`);
console.log(
	`${number - 1} calls at the source, downtime ${result.metrics.downtimeMs.toFixed(1)} ms, the target counts on: ${answer}`,
);
