// Node and Deno as source and target, and moves one after another.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RuntimeName } from "../../bindings/cli/options.ts";
import { Stage } from "./stage.ts";

const test = suite("moves between runtimes");

const PAIRS: readonly (readonly [RuntimeName, RuntimeName])[] = [
	["node", "node"],
	["node", "deno"],
	["deno", "node"],
	["deno", "deno"],
];

for (const [from, to] of PAIRS)
	for (const technique of ["pre-copy", "stop-and-copy"] as const)
		test(`${technique} from ${from} to ${to} while a client works`, async () => {
			const { stage, source, target, door } = await Stage.open({ from, to });
			try {
				const report = await stage.move(source, target, door, { technique });
				assert.is(report.outcome, "moved", report.failure?.message);
				await stage.expectUndisturbed(target);
			} finally {
				await stage.dispose();
			}
		});

test("a guest that moves from Node to Deno to Node and home again has lost nothing on the way", async () => {
	const { stage, source: first, target: second, door: secondDoor } = await Stage.open({ from: "node", to: "deno" });
	try {
		const third = await stage.host("node", "third");
		const [thirdDoor, firstDoor] = [await stage.receive(third), await stage.receive(first)];
		const stops = [
			{ from: first, to: second, door: secondDoor },
			{ from: second, to: third, door: thirdDoor },
			{ from: third, to: first, door: firstDoor },
		];
		for (const { from, to, door } of stops) {
			const report = await stage.move(from, to, door);
			assert.is(report.outcome, "moved", report.failure?.message);
			await stage.client.untilAnswered(stage.client.answered + 50);
		}
		await stage.expectUndisturbed(first);
	} finally {
		await stage.dispose();
	}
});

test("a host that has a guest takes no second one: refused, and both run on where they are", async () => {
	const { stage, source, target, door } = await Stage.open();
	try {
		const other = new Stage();
		stage.later(() => other.client.stop());
		await other.startGuest(target);
		const report = await stage.move(source, target, door);
		assert.is(report.outcome, "kept");
		assert.is(report.failure?.code, "refused", report.failure?.message);
		await stage.expectUndisturbed(source);
		await other.expectUndisturbed(target);
	} finally {
		await stage.dispose();
	}
});

test.run();
