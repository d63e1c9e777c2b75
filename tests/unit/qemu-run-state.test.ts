// Whether a machine under QEMU runs, told by a QMP that answers when the test says so; and the card that joins when it does.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { NetworkCard } from "../../bindings/guests/qemu/card.ts";
import type { QemuInstance } from "../../bindings/guests/qemu/instance.ts";
import type { QemuServices } from "../../bindings/guests/qemu/qemu-host.ts";
import { RunState } from "../../bindings/guests/qemu/run-state.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { GuestError } from "../../bindings/ports/guest.ts";
import { MemoryStream } from "../contract/suites/memory-stream.ts";

const test = suite("qemu guest: whether it runs");

/** A machine whose orders are listed and answered by hand; its state cannot be saved, which harms no pause. */
function machine() {
	const orders: string[] = [];
	const answers: (() => void)[] = [];
	const send = (order: string): Promise<void> => {
		orders.push(order);
		return new Promise((resolve) => answers.push(resolve));
	};
	let settle: () => void = () => undefined;
	const settled = (): Promise<void> =>
		new Promise((resolve) => {
			settle = resolve;
		});
	// allowed (cast): all that is used of a QEMU here
	const instance = { qmp: { send, onEvent: () => () => undefined } } as unknown as QemuInstance;
	const services = { clock } as unknown as QemuServices;
	const run = new RunState({ services, instance, settled, onRunning: () => undefined }, "running");
	return { run, orders, answer: () => answers.shift()?.(), settle: () => settle() };
}

const turn = (): Promise<void> => clock.sleep(0);

test("a pause that is asked for while somebody lets the machine run is one of its own, and comes after that", async () => {
	const { run, orders, answer, settle } = machine();
	const first = run.pause({ deadlineMs: 10_000 });
	answer();
	await first;
	assert.is(run.isPaused, true);
	const resuming = run.resume();
	assert.is(run.isPaused, false, "nothing begins that relies on it");
	assert.is(await run.capture().catch((error: unknown) => error instanceof GuestError && error.code), "not-paused");
	let isHeld = false;
	const second = run.pause({ deadlineMs: 10_000 }).then(() => {
		isHeld = true;
	});
	await turn();
	assert.equal([orders, isHeld], [["stop"], false]);
	settle();
	await turn();
	assert.equal([orders, isHeld], [["stop", "cont", "stop"], false]);
	answer();
	await resuming;
	answer();
	await second;
	assert.equal([run.isPaused, run.isRunning], [true, false]);
});

test("a card is connected once, also for a machine that somebody else has let run; what its network throws is told", () => {
	const [near] = MemoryStream.pair();
	const taken: unknown[] = [];
	const told: unknown[] = [];
	const card = new NetworkCard(
		near,
		() => (stream) => {
			taken.push(stream);
			throw new RangeError("no room at this port");
		},
		(error) => told.push(error),
	);
	card.connect();
	card.connect();
	assert.equal([taken.length, taken[0] === near, String(told)], [1, true, "RangeError: no room at this port"]);
});

test("a machine that ran before is not let run beside another at its port", () => {
	const network = (): void => undefined;
	const [first, second] = [0, 1].map(
		() =>
			new NetworkCard(
				MemoryStream.pair()[0],
				() => network,
				(error) => assert.unreachable(String(error)),
			),
	);
	let runs: "first" | "second" | "none" = "first";
	first!.claim(() => runs === "first");
	first!.unclaim();
	first!.connect();
	runs = "second";
	second!.claim(() => runs === "second");
	second!.unclaim();
	second!.connect();
	assert.throws(() => first!.claim(() => true), /another machine runs with the same network/);
	runs = "none";
	first!.claim(() => true);
});

test.run();
