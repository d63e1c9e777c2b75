// v86 guests run at their target while their pages are missing, and never read one: what is missing there is garbage.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { type Guest, GuestError } from "../../bindings/ports/guest.ts";
import { letterFault, Mode, oracleFault, Variable } from "../v86/boot-sector.ts";
import { Console } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, openBootSector, runBootSector } from "../v86/open-guests.ts";
import { fillWithGarbage, leave, PUSH_ORDERS } from "../v86/post-copy.ts";
import { runInWorker, workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: pages that follow");
const open = new Set<Guest>();
const keep = <Kept extends Guest>(guest: Kept): Kept => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const TECHNIQUES = ["post-copy", "hybrid"] as const;
const memoryOf = (guest: V86WorkerGuest): Promise<Uint8Array> => guest.readMemory(0, MEMORY_BYTES);

async function hashes(guest: Guest): Promise<string> {
	return (await guest.pages.hashes(0, guest.pages.pageCount)).toString();
}

async function digest(guest: Guest): Promise<string> {
	return new Uint8Array(await crypto.subtle.digest("SHA-256", await guest.state.capture())).toString();
}

for (const technique of TECHNIQUES)
	for (const [order, push] of Object.entries(PUSH_ORDERS))
		test(`${technique}, ${order}: the oracle's bytes have one step at most, and no letter is lost`, async () => {
			const console_ = new Console();
			// On this thread a guest does not run while a whole round of so few pages is sent: it would leave nothing.
			const guest = keep(await (technique === "hybrid" ? runInWorker("oracle") : runBootSector("oracle")));
			console_.follow(guest);
			await console_.more(10);
			const { target, moving } = await leave(guest, technique, { console: console_, options: { push } });
			keep(target!);
			const result = await moving;
			assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
			await console_.more(60);
			await target!.pause({ deadlineMs: 5000 });
			assert.is(letterFault(console_.text), undefined);
			assert.is(oracleFault(await memoryOf(target!)), undefined);
			const { faults, latenciesMs, touchedPages } = target!.faulting.faultReport();
			assert.is(latenciesMs.length, faults);
			if (technique === "post-copy" && order === "demand paging") assert.ok(faults > 3, `${faults} faults`);
			assert.ok((touchedPages ?? 0) >= faults, `${touchedPages} pages touched, ${faults} waited for`);
			const { owedPages = 0, pushedInVain = -1 } = result.metrics.paging ?? {};
			// A round that runs beside the guest may send all that it changes: then nothing follows.
			if (technique === "post-copy") assert.ok(owedPages > 0, "pages have followed");
			if (owedPages > 0) assert.ok(pushedInVain >= 0, "it is known what came in vain");
		});

/** A run that goes the same way each time, at the oracle from its 64th step on. */
async function counted(): Promise<V86Guest> {
	const guest = keep(await openBootSector({ time: "counted", compile: false }));
	await guest.resume();
	guest.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
	await guest.pause({ deadlineMs: 5000 });
	assert.is(guest.steps, 64);
	return guest;
}

test("a counted run that was left behind at any step is, at every bit of RAM, the run that was not", async () => {
	const seed = 7;
	const random = new SeededRandom(seed);
	for (const technique of TECHNIQUES)
		for (const [order, push] of Object.entries(PUSH_ORDERS)) {
			const source = await counted();
			const before = 1 + (random.nextU32() % 50);
			await source.advance(before);
			await source.resume();
			const { target, moving } = await leave(source, technique, { options: { push } });
			const moved = keep(target!);
			const result = await moving;
			const where = `seed ${seed}, ${technique}, ${order}, left after ${before} steps`;
			assert.is(result.outcome, "moved", `${where}: ${"error" in result ? result.error.message : ""}`);
			await moved.pause({ deadlineMs: 5000 });
			const { steps, timeMs } = await moved.progress();
			const unmoved = await counted();
			await unmoved.advance(steps - unmoved.steps);
			assert.is(unmoved.timeMs, timeMs, where);
			assert.ok((await hashes(moved)) === (await hashes(unmoved)), `${where}: a page differs`);
			assert.is(await digest(moved), await digest(unmoved), where);
			for (const guest of [source, moved, unmoved]) await guest.discard();
		}
});

test("a guest in a worker is left behind as well, and its next target may be a guest on its host's thread", async () => {
	const console_ = new Console();
	const guest = keep(await runInWorker("oracle"));
	console_.follow(guest);
	await console_.more(10);
	const first = await leave(guest, "post-copy", { console: console_ });
	assert.is((await first.moving).outcome, "moved");
	const second = await leave(keep(first.target!), "hybrid", { console: console_ });
	assert.is((await second.moving).outcome, "moved");
	await console_.more(30);
	await keep(second.target!).pause({ deadlineMs: 5000 });
	const last = keep((await bootSectorFactory().setUp(second.target!.state.layout())).guest);
	for (let page = 0; page < last.pages.pageCount; page += 512) {
		const pages = Uint32Array.from({ length: 512 }, (_, at) => page + at);
		await last.pages.apply(await second.target!.pages.encode(pages, { compress: true }));
	}
	await last.state.restore(await second.target!.state.capture());
	console_.follow(last);
	await last.resume();
	await console_.more(30);
	assert.is(letterFault(console_.text), undefined);
});

test("pre-copy that does not converge turns into post-copy", async () => {
	const console_ = new Console();
	const guest = keep(await runInWorker("oracle"));
	console_.follow(guest);
	await console_.more(10);
	const { target, moving } = await leave(guest, "pre-copy", {
		console: console_,
		options: { bandwidthBytesPerMs: 2000 },
	});
	const result = await moving;
	assert.is(result.outcome, "moved", "error" in result ? result.error.message : "");
	assert.ok((result.metrics.paging?.owedPages ?? 0) > 0, "it left pages for later");
	await console_.more(30);
	await keep(target!).pause({ deadlineMs: 5000 });
	assert.is(letterFault(console_.text), undefined);
	assert.is(oracleFault(await memoryOf(target!)), undefined);
});

test("a guest that waits for a page cannot be paused in time, runs on when the page comes, and is paused then", async () => {
	const source = keep(await runBootSector("oracle"));
	await source.pause({ deadlineMs: 5000 });
	const { guest } = await workerFactory().setUp(source.state.layout(), new Map(), undefined, { faulting: true });
	const target = keep(guest);
	await fillWithGarbage(target);
	await target.pages.apply(await source.pages.encode(Uint32Array.of(0), { compress: false }));
	await target.state.restore(await source.state.capture());
	const { pageCount } = source.pages;
	const missing = new Uint8Array(pageCount / 8).fill(0xff);
	missing[0] = 0xfe;
	let first: (page: number) => void = () => undefined;
	const waits = new Promise<number>((resolve) => {
		first = resolve;
	});
	let serve = (page: number): void => first(page);
	await target.faulting.begin(missing, (page) => serve(page));
	await target.resume();
	const page = await waits;
	const late = await target.pause({ deadlineMs: 20 }).catch((error: unknown) => error);
	assert.ok(late instanceof GuestError && late.code === "pause-deadline", String(late));
	const send = async (...pages: number[]): Promise<void> => {
		const batch = await source.pages.encode(Uint32Array.from(pages), { compress: false });
		await target.faulting.install(batch, () => batch.release());
	};
	serve = (next) => void send(next);
	await send(page);
	await target.pause({ deadlineMs: 5000 });
	const { steps } = await target.progress();
	await systemClock.sleep(5);
	assert.is((await target.progress()).steps, steps);
	await target.resume();
	for (let from = 0; from < pageCount; from += 512) await send(...Array.from({ length: 512 }, (_, at) => from + at));
	await target.faulting.end();
	await target.pause({ deadlineMs: 5000 });
	assert.is(oracleFault(await memoryOf(target)), undefined);
});

test("a lost link stops the guest at the next missing page, and another one lets it go on", async () => {
	const console_ = new Console();
	const guest = keep(await runBootSector("oracle"));
	console_.follow(guest);
	await console_.more(10);
	const { target, moving, received, link } = await leave(guest, "post-copy", {
		console: console_,
		options: { push: demandPaging() },
	});
	keep(target!);
	assert.is(received.outcome, "running");
	if (received.outcome !== "running" || received.paging === undefined) return;
	await console_.more(3);
	link.abort(new Error("pulled"));
	const lost = await moving;
	assert.is(lost.outcome, "interrupted");
	assert.is((await received.paging.ended).outcome, "interrupted");
	const [near, far] = openLinkPair();
	const end = received.paging.recover(far);
	const result = lost.outcome === "interrupted" ? lost.paging.recover(near) : Promise.resolve(lost);
	await console_.more(30);
	// Demand paging never brings what nobody uses: whoever reads all of it does.
	await memoryOf(target!);
	assert.is((await result).outcome, "moved");
	assert.is((await end).outcome, "complete");
	assert.is(letterFault(console_.text), undefined);
	await target!.pause({ deadlineMs: 5000 });
	assert.is(oracleFault(await memoryOf(target!)), undefined);
});

test("a guest that waits for a page is discarded at once", async () => {
	const { target, moving, received } = await leave(keep(await runBootSector("oracle")), "post-copy", {
		options: { push: demandPaging(), bandwidthBytesPerMs: 1 },
	});
	moving.catch(() => undefined);
	assert.is(received.outcome, "running");
	await target!.discard();
	const error = await target!.readMemory(0, 1).catch((reason: unknown) => reason);
	assert.instance(error, Error);
	if (received.outcome === "running") await received.paging?.abandon("discard");
	const result = await moving;
	assert.is(result.outcome, "interrupted");
	if (result.outcome === "interrupted") await result.paging.abandon();
});

test("a guest whose kernel uses PAE is refused by name, and so is a module whose page walk is not known", async () => {
	const layout = keep(await openBootSector()).state.layout();
	const pae = { ...layout, facts: { ...layout.facts, pageTables: "pae" } };
	const factory = workerFactory();
	assert.equal(factory.check(layout, { faulting: true }), []);
	assert.equal(factory.check(pae), []);
	const [obstacle] = factory.check(pae, { faulting: true });
	assert.is(obstacle?.fact, "faulting");
	assert.match(obstacle?.message ?? "", "PAE");
});

test.run();
