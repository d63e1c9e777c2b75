// Three processes: this file starts itself as a source and as a target, keeps asking the SQLite in the source, and has it
// moved to the target half-way. What is unanswered then is asked again there, with the same numbers.
import process from "node:process";
import * as ferry from "pageferry";

const platform = ferry.localPlatform();
const programUrl = new URL(`./programs/sqlite.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url).href;
const [, file = "", role] = process.argv;
const bytes = (message: object) => new TextEncoder().encode(JSON.stringify(message));
const say = (to: ferry.Link, message: object) => to.send({ type: 64, payload: bytes(message) });
const hear = async (from: ferry.Link) => {
	const frame = await from.receive();
	const message = JSON.parse(new TextDecoder().decode(frame.payload));
	frame.release();
	return message;
};

/** A process with the guest, or one that waits for it. */
async function host(): Promise<void> {
	const door = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	console.log(JSON.stringify(door.address));
	const client = ferry.openLink((await door.accept())!);
	client.ended.addEventListener("abort", () => process.kill(process.pid)); // without its client it ends
	const receive = async () => {
		const factories = [await ferry.WasmGuestFactory.open({ ...platform, programUrls: [programUrl] })];
		const result = await ferry.receiveGuest({ ...platform, link: ferry.openLink((await door.accept())!), factories });
		if (result.outcome !== "running") throw new Error(`no guest came: ${result.outcome}`);
		return result.guest as ferry.WasmGuest;
	};
	const guest = role === "source" ? await ferry.startWasmGuest({ ...platform, programUrl }) : await receive();
	const move = async (to: ferry.StreamAddress) => {
		const result = await ferry.preCopy({ ...platform, guest, link: ferry.openLink(await platform.connect(to)) });
		await say(client, { outcome: result.outcome, downtimeMs: result.metrics.downtimeMs });
	};
	const answer = async (message: { number: number }) =>
		say(client, { number: message.number, answer: await guest.call(message) });
	for (let message = await hear(client); ; message = await hear(client))
		(message.moveTo === undefined ? answer(message) : move(message.moveTo)).catch(() => "it is asked again there");
}

async function start(name: string) {
	const args = ["Deno" in globalThis ? ["run", "-A"] : [], file, name].flat();
	const { lines } = await platform.processes.start({ executable: process.execPath, args });
	const address = JSON.parse((await lines[Symbol.asyncIterator]().next()).value ?? "null");
	return { address, link: ferry.openLink(await platform.connect(address)) };
}

if (role !== undefined) await host();
const [source, target] = await Promise.all([start("source"), start("target")]);
const request = "CREATE TABLE IF NOT EXISTS log (n); INSERT INTO log VALUES (1); SELECT count(*) FROM log";
const unanswered = new Set<number>();
let home = source.link;
for (let sent = 0; sent < 1000 || home === source.link || unanswered.size > 0; ) {
	for (; unanswered.size < 4 && (sent < 1000 || home === source.link); await say(home, { number: sent, request }))
		unanswered.add(++sent);
	const { number, answer, outcome, downtimeMs } = await hear(home);
	if (outcome === "moved") {
		console.log(`moved, downtime ${downtimeMs.toFixed(1)} ms; asking again: ${[...unanswered]}`);
		home = target.link;
		for (const number of unanswered) await say(home, { number, request });
	} else if (!unanswered.delete(number) || answer !== `[[${number}]]`)
		throw new Error(`${number}: ${answer} ${outcome}`);
	if (number === 500) await say(home, { moveTo: target.address });
}
console.log("every number was answered, once");
for (const { link } of [source, target]) link.abort("nothing is left to ask");
