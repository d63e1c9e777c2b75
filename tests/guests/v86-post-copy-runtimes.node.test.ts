// v86 guests are left behind from Node to Deno and home again, between processes.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { openLink } from "../../bindings/links/open-link.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import type { StreamAddress } from "../../bindings/ports/byte-stream.ts";
import { nodeRuntime } from "../contract/suites/node-runtime.ts";
import { letterFault, oracleFault } from "../v86/boot-sector.ts";
import { platform } from "../v86/linux.ts";
import { Console } from "../v86/move.ts";
import { MEMORY_BYTES, runBootSector } from "../v86/open-guests.ts";
import { garbageFactory } from "../v86/post-copy.ts";

const test = suite("v86 guest: pages that follow between runtimes");
const { clock, random, listen, connect, processes } = platform;

test("the oracle's guest is left behind to Deno and home: no letter is lost, its pages have one step at most", async () => {
	const guest = await runBootSector("oracle");
	const here = new Console();
	here.follow(guest);
	await here.more(10);
	const home = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	const there = await processes.start(nodeRuntime.foreignProgram!("v86-left-behind", JSON.stringify(home.address)));
	try {
		const lines = there.lines[Symbol.asyncIterator]();
		const address: StreamAddress = JSON.parse(String((await lines.next()).value));
		const link = openLink(await connect(address));
		// Zero pages that are left out would be garbage at the target.
		const options = { push: demandPaging(50), leaveOutZeroPages: false };
		const left = await postCopy({ guest, link, clock, random }, options);
		assert.is(left.outcome, "moved", left.outcome === "moved" ? "" : left.error.message);
		assert.ok(left.metrics.networkFaults > 3, `${left.metrics.networkFaults} faults`);
		const back = new Console();
		const received = await receiveGuest({
			...{ link: openLink((await home.accept())!), clock },
			factories: [garbageFactory(back)],
		});
		const report = JSON.parse(String((await lines.next()).value));
		assert.equal([report.runtime, report.pages, report.outcome], ["deno", "complete", "moved"]);
		assert.is(received.outcome, "running");
		if (received.outcome !== "running") return;
		assert.instance(received.guest, V86WorkerGuest);
		const last = received.guest as V86WorkerGuest;
		await back.more(30);
		await last.pause({ deadlineMs: 5000 });
		assert.is(letterFault(here.text + report.text + back.text), undefined);
		assert.is(oracleFault(await last.readMemory(0, MEMORY_BYTES)), undefined);
		await last.discard();
	} finally {
		there.kill("SIGKILL");
		await there.ended;
		await home.close();
		await guest.discard();
	}
});

test.run();
