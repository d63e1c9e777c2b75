// Third-party programs move by post-copy and hybrid in the middle of their work: every number is executed once, and all is
// as in an undisturbed run.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CallError } from "../../bindings/guests/wasm/errors.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import type { MoveProgress } from "../../bindings/migration/metrics.ts";
import type { MoveOptions, MoveServices } from "../../bindings/migration/move.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { discardGuests, keep, startGuest } from "../wasm/open-guests.ts";

const test = suite("wasm guest: third-party programs by post-copy");
test.after.each(discardGuests);

/** Requests at the source before the move, and at the target after it. */
const BEFORE = 150;
const AFTER = 100;
const BALLAST_MIB = 6;

const TECHNIQUES = {
	"post-copy": postCopy,
	hybrid,
	/** Only what the guest touches, for as long as it takes it to touch something. */
	"demand paging": (services: MoveServices, options: MoveOptions) =>
		postCopy(services, { ...options, push: demandPaging(200) }),
} as const;
type TechniqueName = keyof typeof TECHNIQUES;

async function moveWhileItWorks(program: string, technique: TechniqueName): Promise<void> {
	const history = HISTORIES[program]!;
	const ports = await guestPorts();
	const source = await startGuest(program);
	await source.call({ ballastMiB: BALLAST_MIB });
	const answers: unknown[] = [];
	const ask = async (guest: WasmGuest): Promise<void> => {
		answers.push(await guest.call({ number: answers.length, request: history(answers.length) }));
	};
	while (answers.length < BEFORE) await ask(source);
	const [near, far] = openLinkPair();
	const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl(program)] });
	const arriving = receiveGuest({ link: far, factories: [factory], clock: ports.clock });
	const services = { guest: source, link: near, clock: ports.clock, random: systemRandom };
	// Clients go to the target as soon as it runs, ahead of the pages.
	const onProgress = ({ phase }: MoveProgress): void => {
		if (phase === "paging") source.turnCallsAway();
	};
	const moving = TECHNIQUES[technique](services, { onProgress });
	for (let here = true; here; )
		await ask(source).catch((error: unknown) => {
			if (!(error instanceof CallError)) throw error;
			here = false;
		});
	const arrived = await arriving;
	if (arrived.outcome !== "running")
		throw new Error(`the guest is ${arrived.outcome}: ${String((arrived as { error?: unknown }).error)}`);
	const target = keep(arrived.guest);
	if (!(target instanceof WasmGuest)) throw new TypeError("no wasm guest");
	const duringMove = answers.length - BEFORE;
	for (const last = answers.length + AFTER; answers.length < last; ) await ask(target);
	const result = await moving;
	assert.is(result.outcome, "moved", String("error" in result ? result.error : ""));
	const { faults, minorFaults, latenciesMs } = target.faulting!.faultReport();
	const sorted = [...latenciesMs].sort((a, b) => a - b);
	console.log(
		`${program} by ${technique}: ${duringMove} calls during the move, ${faults} faults, ${minorFaults} minor, median ${(sorted[sorted.length >> 1] ?? 0).toFixed(3)} ms, downtime ${result.metrics.downtimeMs.toFixed(1)} ms`,
	);
	if (technique === "demand paging") assert.ok(faults > 0, "nothing was missing");
	assert.equal(await target.call({ number: 7, request: history(7) }), answers[7]);
	assert.is((await target.memoryUse()).code, "plain");

	const undisturbed = await startGuest(program);
	await undisturbed.call({ ballastMiB: BALLAST_MIB });
	for (const [number, answer] of answers.entries())
		assert.equal(await undisturbed.call({ number, request: history(number) }), answer, `answer ${number}`);
	assert.is(await target.call({ digest: true }), await undisturbed.call({ digest: true }));
}

if (supportsInstrumentation())
	for (const program of Object.keys(HISTORIES))
		for (const technique of ["post-copy", "hybrid", "demand paging"] as const)
			test(`${program} moves by ${technique} while it works`, () => moveWhileItWorks(program, technique));
else test("is refused where there is no second memory (wasm-faults.test.ts)", () => undefined);

test.run();
