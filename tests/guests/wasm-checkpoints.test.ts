// Post-copy of WebAssembly programs with checkpoints: what the guest says at the target waits until the source has the state
// that produced it, and the source goes on from there when the target dies.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CallError } from "../../bindings/guests/wasm/errors.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import type { MoveMetrics } from "../../bindings/migration/metrics.ts";
import type { ReceivedPages } from "../../bindings/migration/paging-reception.ts";
import { type PostCopyOptions, postCopy } from "../../bindings/migration/post-copy.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { demandPaging, prepaging } from "../../bindings/policies/push-order.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { pagedModule } from "../wasm/paged-module.ts";

const test = suite("wasm guest: checkpoints come back");
test.after.each(discardGuests);

const BALLAST_MIB = 4;

interface Scene {
	readonly source: WasmGuest;
	readonly target: WasmGuest;
	readonly paging: ReceivedPages;
	readonly moving: Promise<PostCopyResult>;
	/** The target's process dies, as far as one can in a process: nothing that it holds ever leaves. */
	kill(): Promise<void>;
}

async function move(source: WasmGuest, program: string, options: PostCopyOptions = {}): Promise<Scene> {
	const ports = await guestPorts();
	const [near, far] = openLinkPair();
	const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl(program)] });
	const arriving = receiveGuest({ link: far, factories: [factory], clock: ports.clock });
	const services = { guest: source, link: near, clock: ports.clock, random: systemRandom };
	const moving = postCopy(services, { checkpoints: { minMs: 1, maxMs: 20 }, ...options });
	const arrived = await arriving;
	if (arrived.outcome !== "running" || arrived.paging === undefined)
		throw new Error(`the guest is ${arrived.outcome}: ${String((arrived as { error?: unknown }).error)}`);
	const target = keep(arrived.guest);
	if (!(target instanceof WasmGuest)) throw new TypeError("no wasm guest");
	const kill = async (): Promise<void> => {
		target.gate.discardAfter(0);
		near.abort(new Error("the target died"));
		await target.discard();
	};
	return { source, target, paging: arrived.paging, moving, kill };
}

/** Pages do not come by themselves: the move goes on until it is cut. */
const FOREVER = { push: demandPaging() };

async function programStarted(program: string): Promise<WasmGuest> {
	const guest = await startGuest(program);
	await guest.call({ ballastMiB: BALLAST_MIB });
	return guest;
}

async function dieAndRevive(program: string): Promise<MoveMetrics> {
	const history = HISTORIES[program]!;
	const source = await programStarted(program);
	const answers = new Map<number, unknown>();
	const ask = async (guest: WasmGuest, number: number): Promise<void> => {
		const answer = await guest.call({ number, request: history(number) });
		if (answers.has(number)) assert.equal(answer, answers.get(number), `answer ${number} once more`);
		answers.set(number, answer);
	};
	let number = 0;
	while (number < 80) await ask(source, number++);
	const { target, paging, moving, kill } = await move(source, program, FOREVER);
	assert.is((await rejection(source.call({ number, request: history(number) }))).code, "moved");
	while (number < 140) await ask(target, number++);
	assert.ok(paging.checkpoints!.committed > 0);
	// Calls under way when it dies: whether they were executed nobody knows, and nobody has heard an answer.
	const last = Array.from({ length: 5 }, (_, i) => ask(target, number + i).catch((error: unknown) => error));
	await kill();
	for (const end of await Promise.all(last)) if (end !== undefined) assert.instance(end, CallError);
	const result = await moving;
	if (result.outcome !== "interrupted") throw new Error(`the move is ${result.outcome}`);
	const revived = await result.paging.revive();
	if (revived.outcome !== "revived") throw new Error(String((revived as { error?: unknown }).error));
	assert.ok(revived.epoch > 0);
	// Whatever was answered is remembered; what was not is asked again.
	for (let again = 70; again < 160; again++) await ask(source, again);
	const undisturbed = await programStarted(program);
	for (const [i, answer] of [...answers].sort(([a], [b]) => a - b))
		assert.equal(await undisturbed.call({ number: i, request: history(i) }), answer, `answer ${i}`);
	assert.is(await source.call({ digest: true }), await undisturbed.call({ digest: true }));
	return revived.metrics;
}

if (supportsInstrumentation()) {
	for (const program of Object.keys(HISTORIES))
		test(`${program}: the target dies, and the source goes on from the last checkpoint as if nothing had happened`, async () => {
			const { checkpoints } = (await dieAndRevive(program)).paging!;
			console.log(`${program}: ${checkpoints?.checkpoints} checkpoints, ${checkpoints?.pages} pages`);
		});

	test("sqlite that nothing disturbs moves with checkpoints, and is as an undisturbed run", async () => {
		const source = await programStarted("sqlite");
		const history = HISTORIES.sqlite!;
		const answers: unknown[] = [];
		for (; answers.length < 50; )
			answers.push(await source.call({ number: answers.length, request: history(answers.length) }));
		const { target, moving } = await move(source, "sqlite", { push: prepaging(), verification: "full" });
		while (answers.length < 150)
			answers.push(await target.call({ number: answers.length, request: history(answers.length) }));
		const result = await moving;
		assert.is(result.outcome, "moved", String("error" in result ? result.error : ""));
		assert.not(target.gate.facts.holding);
		assert.is((await target.memoryUse()).code, "plain");
		const undisturbed = await programStarted("sqlite");
		for (const [i, answer] of answers.entries())
			assert.equal(await undisturbed.call({ number: i, request: history(i) }), answer, `answer ${i}`);
		assert.is(await target.call({ digest: true }), await undisturbed.call({ digest: true }));
	});

	test("what a program emits waits with the answers, in order; memory that grew at the target comes back", async () => {
		const source = await startGuest("paged", { moduleBytes: pagedModule(16) });
		const heard: unknown[] = [];
		source.outputs((value) => heard.push(value));
		await source.call({ emit: "at the source" });
		assert.equal(heard, ["at the source"], "nothing is held before a switch");
		const { target, paging, moving, kill } = await move(source, "paged", {
			...FOREVER,
			checkpoints: { minMs: 40, maxMs: 40 },
		});
		target.outputs((value) => heard.push(value));
		const order: string[] = [];
		const first = target.call({ emit: 1 }).then(() => order.push(`answer after ${heard.length}`));
		await first;
		assert.equal(heard.slice(1), [1]);
		assert.equal(order, ["answer after 2"]);
		assert.ok(paging.checkpoints!.committed > 0, "released by a checkpoint");
		const pagesBefore = target.pages.pageCount;
		await target.call({ call: "grow", values: [1] });
		await target.call({ write: (pagesBefore + 3) * 4096, bytes: Uint8Array.of(7, 8, 9) });
		assert.is(target.pages.pageCount, pagesBefore + 16);
		await kill();
		const result = await moving;
		assert.ok(result.outcome === "interrupted");
		assert.is((await result.paging.revive()).outcome, "revived");
		assert.is(source.pages.pageCount, pagesBefore + 16);
		assert.equal(await source.call({ read: (pagesBefore + 3) * 4096, byteLength: 3 }), Uint8Array.of(7, 8, 9));
	});

	test("a damaged checkpoint is refused as a whole", async () => {
		const source = await startGuest("paged", { moduleBytes: pagedModule(16) });
		await source.call({ write: 5 * 4096, bytes: Uint8Array.of(1) });
		await source.pause({ deadlineMs: 5000 });
		const other = await startGuest("paged", { moduleBytes: pagedModule(16) });
		await other.call({ write: 5 * 4096, bytes: Uint8Array.of(2) });
		await other.call({ write: 6 * 4096, bytes: Uint8Array.of(3) });
		await other.pause({ deadlineMs: 5000 });
		const state = await other.state.capture();
		const batches = [];
		for (const page of [5, 6]) {
			const { bytes, checksum } = await other.pages.encode(Uint32Array.of(page), { compress: false });
			batches.push({ bytes: bytes.slice(), checksum });
		}
		const whole = batches.map(({ bytes, checksum }) => ({ bytes: bytes.slice(), checksum }));
		batches[1]!.bytes[batches[1]!.bytes.length - 1]! ^= 1;
		const { pageCount } = source.pages;
		assert.ok(await rejection(source.standby.apply({ pageCount, batches, state })));
		assert.is((await rejection(source.standby.apply({ pageCount: 2 ** 21, batches: [], state }))).code, "too-large");
		const hashes = await source.pages.hashes(5, 2);
		await source.standby.apply({ pageCount, batches: whole, state });
		assert.not.equal(await source.pages.hashes(5, 2), hashes);
		await source.standby.settle();
		await source.resume();
		assert.equal(await source.call({ read: 6 * 4096, byteLength: 1 }), Uint8Array.of(3));
		assert.is((await rejection(source.standby.apply({ pageCount, batches: [], state }))).code, "not-paused");
	});
} else test("needs a second WebAssembly memory at the target, as all post-copy does", () => undefined);

test("output is held up to its limit, by epochs; what is discarded rejects", async () => {
	const guest = await startGuest("paged", { moduleBytes: pagedModule(1) });
	const news: string[] = [];
	guest.gate.hold({ limitBytes: 200, onOutput: () => news.push("output") });
	const settled: string[] = [];
	const note = (name: string, work: Promise<unknown>): Promise<unknown> =>
		work.then(
			() => settled.push(name),
			(error: { code?: string }) => settled.push(`${name} ${error.code}`),
		);
	const first = note("first", guest.call({ emit: "x" }));
	while (guest.gate.facts.heldCount < 2) await new Promise((resolve) => setTimeout(resolve, 1));
	assert.is((await rejection(Promise.resolve().then(() => guest.gate.sealEpoch()))).code, "not-paused");
	await guest.pause({ deadlineMs: 5000 });
	assert.is(guest.gate.sealEpoch(), 1);
	assert.throws(() => guest.gate.release(2), RangeError);
	await guest.resume();
	const many = Array.from({ length: 20 }, (_, i) => note(`late ${i}`, guest.call({ emit: i })));
	while (!guest.gate.facts.full) await new Promise((resolve) => setTimeout(resolve, 1));
	assert.equal(settled, []);
	assert.ok(guest.pendingCalls > 10, "no more calls are started");
	guest.gate.release(1);
	await first;
	assert.equal(settled, ["first"]);
	guest.gate.discardAfter(1);
	guest.gate.open();
	await Promise.all(many);
	assert.ok(settled.includes("late 0 gone") && settled.includes("late 19"));
	assert.ok(news.length >= 2);
});

test.run();
