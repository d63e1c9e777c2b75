// The control connection against a QEMU that lies, says nothing or hangs up: every call ends, with an error of our own type.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { QemuError } from "../../bindings/guests/qemu/errors.ts";
import { QmpClient } from "../../bindings/guests/qemu/qmp.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { MemoryStream } from "../contract/suites/memory-stream.ts";

const test = suite("qemu guest: the control connection");

interface Order {
	readonly execute: string;
	readonly id: number;
}

/** A QEMU of a few lines. */
class LyingQemu {
	readonly #stream: MemoryStream;
	#at = 0;

	constructor(stream: MemoryStream) {
		this.#stream = stream;
	}

	say(text: string): void {
		void this.#stream.write([new TextEncoder().encode(`${text}\n`)]);
	}

	/** The next command that the client has sent. */
	async next(client: MemoryStream): Promise<Order> {
		while (client.written.length <= this.#at) await Promise.resolve();
		return JSON.parse(new TextDecoder().decode(client.written[this.#at++]));
	}

	hangUp(): Promise<void> {
		return this.#stream.close();
	}
}

const GREETING = JSON.stringify({ QMP: { version: {}, capabilities: [] } });

/** A client and its QEMU after the greeting; time passes only when everybody waits for it. */
async function connected(
	work: (parts: {
		readonly client: QmpClient;
		readonly qemu: LyingQemu;
		readonly order: () => Promise<Order>;
		readonly thrown: unknown[];
	}) => Promise<void>,
): Promise<void> {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const [near, far] = MemoryStream.pair();
		const qemu = new LyingQemu(far);
		const thrown: unknown[] = [];
		const opening = QmpClient.open(near, { clock, report: (error) => thrown.push(error) });
		qemu.say(GREETING);
		const order = () => qemu.next(near);
		const { execute, id } = await order();
		assert.is(execute, "qmp_capabilities");
		qemu.say(JSON.stringify({ return: {}, id }));
		await work({ client: await opening, qemu, order, thrown });
	});
}

async function failure(work: Promise<unknown>): Promise<QemuError> {
	const error = await work.then(
		(value) => new RangeError(`it came out as ${JSON.stringify(value)}`),
		(reason: unknown) => reason,
	);
	if (error instanceof QemuError) return error;
	throw error;
}

test("answers are told apart by their numbers, and what nobody has asked for is left alone", () =>
	connected(async ({ client, qemu, order }) => {
		const [first, second] = [client.execute("query-status"), client.execute("query-name")];
		const [{ id: one }, { id: two }] = [await order(), await order()];
		for (const stray of [{ return: 7 }, { return: 7, id: 99 }, { return: 7, id: String(one) }, [], 7, null])
			qemu.say(JSON.stringify(stray));
		qemu.say(JSON.stringify({ return: { name: "b" }, id: two }));
		qemu.say(JSON.stringify({ return: { status: "a" }, id: one }));
		assert.equal(await first, { status: "a" });
		assert.equal(await second, { name: "b" });
	}));

for (const [what, answer, words] of [
	["with its words", { error: { class: "GenericError", desc: "no such thing" } }, /refused 'balloon': no such thing/],
	["without a description", { error: { class: "GenericError" } }, /refused 'balloon': it gives no reason/],
	["with a description that is no text", { error: { desc: 7 } }, /it gives no reason/],
	["that is nothing but an error", { error: null }, /it gives no reason/],
	["beside a return value", { return: {}, error: { desc: "half done" } }, /half done/],
	["with neither a value nor an error", {}, /it gives no reason/],
] as const)
	test(`a refusal ${what} is a refusal`, () =>
		connected(async ({ client, qemu, order }) => {
			const asked = client.execute("balloon", { value: 1 });
			const { id } = await order();
			qemu.say(JSON.stringify({ ...answer, id }));
			const { code, message } = await failure(asked);
			assert.is(code, "command");
			assert.match(message, words);
		}));

test("a command that returns nothing but null was done", () =>
	connected(async ({ client, qemu, order }) => {
		const asked = client.execute("stop");
		const { id } = await order();
		qemu.say(JSON.stringify({ return: null, id }));
		assert.is(await asked, null);
	}));

test("a QEMU that is silent gets its time, and its late answer disturbs nobody", () =>
	connected(async ({ client, qemu, order }) => {
		const asked = failure(client.execute("query-status"));
		const short = failure(client.execute("query-name", undefined, { answerMs: 50 }));
		const [{ id: one }, { id: two }] = [await order(), await order()];
		assert.match((await short).message, /'query-name' within 50 ms/);
		const { code, message } = await asked;
		assert.is(code, "no-answer");
		assert.match(message, /'query-status' within 30000 ms/);
		qemu.say(JSON.stringify({ return: 1, id: one }));
		qemu.say(JSON.stringify({ error: { desc: "late" }, id: two }));
		const again = client.execute("query-status");
		qemu.say(JSON.stringify({ return: 2, id: (await order()).id }));
		assert.is(await again, 2);
	}));

test("an order without a limit is answered whenever its answer comes", () =>
	connected(async ({ client, qemu, order }) => {
		const asked = client.send("cont");
		const { id } = await order();
		assert.is((await failure(client.execute("query-status"))).code, "no-answer");
		qemu.say(JSON.stringify({ return: {}, id }));
		assert.equal(await asked, {});
	}));

for (const [what, text] of [
	["half a message", '{"return": {'],
	["what is no JSON", "QEMU 7.2.22 monitor - type 'help' for more information"],
] as const)
	test(`${what} ends the connection: everything that waits fails, and so does what comes later`, () =>
		connected(async ({ client, qemu }) => {
			const waiting = [client.execute("query-status"), client.waitFor(() => true), client.send("cont")].map(failure);
			qemu.say(text);
			for (const error of await Promise.all(waiting)) assert.is(error.code, "exited");
			assert.is((await failure(client.execute("query-status"))).code, "exited");
			assert.is((await failure(client.waitFor(() => true))).code, "exited");
		}));

test("a QEMU that hangs up fails whatever waits", () =>
	connected(async ({ client, qemu }) => {
		const waiting = [client.execute("query-status"), client.waitFor(() => true)].map(failure);
		await qemu.hangUp();
		for (const error of await Promise.all(waiting)) assert.is(error.code, "exited");
	}));

test("events of any shape are told, and a listener that throws is told on", () =>
	connected(async ({ client, qemu, thrown }) => {
		const heard: unknown[] = [];
		const problem = new Error("not mine");
		client.onEvent(() => {
			throw problem;
		});
		client.onEvent((event) => heard.push(event));
		const last = client.waitFor(({ name }) => name === "C");
		for (const event of [{ event: "A" }, { event: 7, data: {} }, { event: "B", data: [1] }, { event: "C", data: null }])
			qemu.say(JSON.stringify(event));
		await last;
		assert.equal(heard, [
			{ name: "A", data: undefined },
			{ name: "B", data: [1] },
			{ name: "C", data: null },
		]);
		assert.equal(thrown, [problem, problem, problem]);
	}));

test("whoever never greets, or hangs up instead, is given up", async () => {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const [near] = MemoryStream.pair();
		const { code, message } = await failure(QmpClient.open(near, { clock, report: () => assert.unreachable() }));
		assert.is(code, "no-answer");
		assert.match(message, /not greeted/);
		const [here, there] = MemoryStream.pair();
		const opening = failure(QmpClient.open(here, { clock, report: () => assert.unreachable() }));
		await there.close();
		assert.is((await opening).code, "exited");
	});
});

test.run();
