// What a QEMU is not even started for.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { QemuGuestFactory, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openPlatform } from "../qemu/stage.ts";

const test = suite("qemu guest: arguments");
const { platform } = await openPlatform();
const machine = { memoryMiB: 128, boot: { kernel: "no-such-kernel" } };
const refusal = (starting: Promise<unknown>): Promise<string> => starting.then(() => "it was started", String);

test("a limit that is no time is refused by name", async () => {
	for (const bootMs of [Number.NaN, 0, -1])
		assert.match(await refusal(startQemuGuest(platform, { machine, bootMs })), /^RangeError: bootMs/);
});

test("a card and somebody who takes its frames go together, at a start and at a target", async () => {
	const network = (): void => undefined;
	const withCard = { ...machine, mac: "52:54:00:00:00:01" };
	for (const options of [{ machine, network }, { machine: withCard }]) {
		assert.match(await refusal(startQemuGuest(platform, options)), /^TypeError: network/);
		assert.match(await refusal(QemuGuestFactory.open(platform, options)), /^TypeError: network/);
	}
	const networks = () => network;
	assert.match(await refusal(QemuGuestFactory.open(platform, { machine, networks })), /^TypeError: network/);
});

test.run();
