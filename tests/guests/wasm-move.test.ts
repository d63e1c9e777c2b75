import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { CallError } from "../../bindings/guests/wasm/errors.ts";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { moveByHand } from "../wasm/move-by-hand.ts";
import { ask, discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

const test = suite("wasm guest: moves by hand");
test.after.each(discardGuests);

const factoryFor = async (program: string): Promise<WasmGuestFactory> =>
	WasmGuestFactory.open({ ...(await guestPorts()), programUrls: [programUrl(program)] });

/** Requests at the source before the move, and at the target after it. */
const BEFORE = 100;
const AFTER = 50;

for (const [program, history] of Object.entries(HISTORIES))
	test(`${program} moves while it works: each number is executed once, and all is as in an undisturbed run`, async () => {
		const source = await startGuest(program);
		const answers: unknown[] = [];
		/** One client: it waits for each answer, and sends a call that the guest left behind again where the guest is. */
		const client = async (isDone: () => boolean, where: () => WasmGuest): Promise<void> => {
			while (!isDone()) {
				const number = answers.length;
				try {
					answers.push(await where().call({ number, request: history(number) }));
				} catch (error) {
					assert.is((error as CallError).code, "moved");
				}
			}
		};
		await client(
			() => answers.length === BEFORE,
			() => source,
		);
		let here = source;
		let last = Number.POSITIVE_INFINITY;
		const working = client(
			() => answers.length >= last,
			() => here,
		);
		const { target } = await moveByHand(source, await factoryFor(program), { compress: true });
		here = target as WasmGuest;
		await source.discard();
		const duringMove = answers.length - BEFORE;
		last = answers.length + AFTER;
		await working;
		assert.ok(duringMove > 0, "it worked while it moved");
		// An answered number is answered again, not executed again.
		assert.equal(await here.call({ number: 7, request: history(7) }), answers[7]);

		const undisturbed = await startGuest(program);
		for (const [number, answer] of answers.entries())
			assert.equal(await undisturbed.call({ number, request: history(number) }), answer, `answer ${number}`);
		assert.is(await here.call({ digest: true }), await undisturbed.call({ digest: true }));
	});

test("a module's global, its table of hooks and its memory arrive, and the start function does not run again", async () => {
	const source = await startGuest("scratch");
	for (let i = 0; i < 5; i++) await ask(source, { do: "count" });
	const text = new TextEncoder().encode("kept in the guest");
	await ask(source, { do: "write", at: 40_000, bytes: text });
	const { target } = await moveByHand(source, await factoryFor("scratch"));
	const moved = target as WasmGuest;
	assert.equal(await ask(moved, { do: "count" }), { global: 6, held: 6 });
	assert.equal(await ask(moved, { do: "read", at: 40_000, byteLength: text.length }), text);
	assert.equal(await ask(moved, { do: "read", at: 0, byteLength: 4 }), Uint8Array.of(1, 0, 0, 0), "start ran once");
	assert.equal(await ask(moved, { do: "history" }), ["restore", "wake"]);
});

test("a guest of a program without a module takes it along, once", async () => {
	const moduleBytes = scratchModule("imported");
	const source = await startGuest("scratch-glue", { moduleBytes });
	const factory = await factoryFor("scratch-glue");
	const layout = source.state.layout();
	const [resource] = layout.resources;
	assert.equal(factory.missing(layout), [resource!.hash]);
	assert.equal(await source.state.resource(resource!.hash), moduleBytes);
	assert.is(await source.state.resource("0".repeat(64)), undefined);
	await moveByHand(source, factory);
	assert.equal(factory.missing(layout), []);
});

for (const program of ["scratch", "scratch-glue"])
	test(`${program}: a memory that grows while it moves, seen by host code at the target too`, async () => {
		const moduleBytes = program === "scratch-glue" ? { moduleBytes: scratchModule("imported") } : {};
		const source = await startGuest(program, moduleBytes);
		await ask(source, { do: "write", at: 30_000, bytes: Uint8Array.of(1, 2, 3) });
		const factory = await factoryFor(program);
		const layout = source.state.layout();
		const resources = new Map([[layout.resources[0]!.hash, (await source.state.resource(layout.resources[0]!.hash))!]]);
		const target = keep((await factory.setUp(layout, resources)).guest as WasmGuest);
		const before = await source.pages.encode(Uint32Array.of(7), { compress: false });
		await target.pages.apply(before);
		await ask(source, { do: "grow", wasmPages: 3 });
		await ask(source, { do: "write", at: 65_536 * 3 + 5, bytes: Uint8Array.of(4, 5, 6) });
		assert.is(source.pages.pageCount, 64);
		await target.pages.grow(64);
		await target.pages.grow(16);
		assert.is(target.pages.pageCount, 64);
		await source.pause({ deadlineMs: 5000 });
		const after = await source.pages.encode(Uint32Array.of(48), { compress: true });
		await target.pages.apply(after);
		await target.state.restore(await source.state.capture());
		await target.resume();
		assert.equal(await ask(target, { do: "read", at: 30_000, byteLength: 3 }), Uint8Array.of(1, 2, 3));
		assert.equal(await ask(target, { do: "read", at: 65_536 * 3 + 5, byteLength: 3 }), Uint8Array.of(4, 5, 6));
		assert.is(await ask(target, { do: "grow", wasmPages: 1 }), 4);
		await ask(target, { do: "write", at: 65_536 * 4, bytes: Uint8Array.of(9) });
		assert.equal(await ask(target, { do: "read", at: 65_536 * 4, byteLength: 1 }), Uint8Array.of(9));
	});

test("QuickJS grows its heap while it moves", async () => {
	const source = await startGuest("quickjs");
	const factory = await factoryFor("quickjs");
	const pageCount = source.pages.pageCount;
	const moving = moveByHand(source, factory);
	const calls: Promise<unknown>[] = [];
	for (let number = 0; number < 30; number++)
		calls.push(source.call({ number, request: `globalThis.big ??= []; big.push('${number}'.repeat(500000)); 0` }));
	const { target } = await moving;
	assert.is(target.pages.pageCount, source.pages.pageCount);
	await source.resume();
	await Promise.all(calls);
	for (let number = 0; number < 30; number++)
		await (target as WasmGuest).call({
			number,
			request: `globalThis.big ??= []; big.push('${number}'.repeat(500000)); 0`,
		});
	assert.ok(source.pages.pageCount > pageCount, "it grew");
	assert.is(await (target as WasmGuest).call({ digest: true }), await source.call({ digest: true }));
});

test("a target that was not restored yet can be thrown away, and state of another program is refused", async () => {
	const source = await startGuest("scratch");
	const target = keep((await (await factoryFor("scratch")).setUp(source.state.layout(), new Map())).guest);
	assert.is((await rejection(target.state.restore(new Uint8Array(3)))).code, "state");
	assert.is((await rejection(target.state.restore(Uint8Array.of(1, 0, 0, 0, 255, 0, 0, 0)))).code, "state");
	await target.discard();
	assert.is((await rejection(target.resume())).code, "gone");
});

test.run();
