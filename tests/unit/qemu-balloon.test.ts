// A balloon of QEMU's whose driver does not do as it is told: how long that is waited for, and what is asked of it then.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { QemuBalloon } from "../../bindings/guests/qemu/balloon.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

const test = suite("qemu balloon");
const PAGES = 1024;

/** A balloon of QEMU's; `step` says how large it is at the next look. @returns it, and every size that was asked for */
function balloon(clock: VirtualClock, step: (size: number, wanted: number) => number) {
	const wishes: number[] = [];
	let size = 0;
	const execute = async (command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> => {
		if (command === "balloon") wishes.push(PAGES - Number(args?.["value"]) / PAGE_BYTES);
		else size = step(size, wishes.at(-1) ?? 0);
		return { actual: (PAGES - size) * PAGE_BYTES };
	};
	const zeros = async (): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(PAGES / 8).fill(255);
	return { made: new QemuBalloon({ pageCount: PAGES, clock, execute, zeros, isRunning: () => true }), wishes };
}

const inVirtualTime = async (work: (clock: VirtualClock) => Promise<void>): Promise<void> => {
	const clock = new VirtualClock(systemClock);
	await clock.run(() => work(clock));
};

test("a driver that comes nearer, however slowly, gets its time", () =>
	inVirtualTime(async (clock) => {
		const { made, wishes } = balloon(clock, (size, wanted) => Math.min(wanted, size + 1));
		assert.is((await made.inflate(200)).length, 200);
		assert.equal(wishes, [200]);
	}));

test("one that takes back what it gives is not waited for, and is asked no more", () =>
	inVirtualTime(async (clock) => {
		let look = 0;
		const { made, wishes } = balloon(clock, (size, wanted) => (size >= wanted ? size : 100 + 50 * (look++ % 2)));
		const out = (await made.inflate(500)).length;
		assert.ok(out === 100 || out === 150, `${out}`);
		assert.equal(wishes, [500, out]);
		assert.ok(clock.now() < 1000, `${clock.now()} ms`);
	}));

test("one that does nothing is asked no more", () =>
	inVirtualTime(async (clock) => {
		const { made, wishes } = balloon(clock, (size) => size);
		assert.is((await made.inflate(500)).length, 0);
		assert.equal(wishes, [500, 0]);
	}));

test.run();
