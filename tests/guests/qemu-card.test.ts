// Whose frames a port carries: the machine's that runs, and nobody's before it does.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	type QemuGuest,
	QemuGuestFactory,
	type QemuNetwork,
	startQemuGuest,
} from "../../bindings/guests/qemu/index.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import type { MoveOptions } from "../../bindings/migration/move.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { VirtualSwitch } from "../../bindings/network/switch.ts";
import { type RestoreOptions, restoreClones } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { nextLine, openPlatform, QemuStage, rejection, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: a machine's port");
const { platform } = await openPlatform();
const missing = await whyNoQemu(platform);
const { clock, random } = platform;
const POLICY: RestoreOptions = { clock: "continue", random: "keep" };
const isCount = (line: string): boolean => /^[0-9a-f]{8}$/.test(line);
const ADDRESS = "52:54:00:00:00:07";

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder } = stage;
	const machine = { ...stage.machine, mac: ADDRESS };
	test.after.each(async () => assert.equal(await stage.clear(), [], "nothing is left"));
	test.after(() => stage.close());

	/** A switch's port, and how often a machine was put at it. */
	const openPort = () => {
		const network = new VirtualSwitch(clock);
		const port = network.addPort("machine");
		let attached = 0;
		const attach: QemuNetwork = (stream) => {
			attached++;
			port.attach(stream);
		};
		return { network, port, attach, attached: () => attached };
	};
	const start = async (network: QemuNetwork): Promise<QemuGuest> =>
		stage.keep(await startQemuGuest(platform, { machine, folder, network, booted: isCount }));
	const moveTo = async (factory: QemuGuestFactory, guest: QemuGuest, options: MoveOptions = {}) => {
		const [near, far] = openLinkPair();
		const receiving = receiveGuest({ link: far, factories: [factory], clock });
		const result = await preCopy({ guest, link: near, clock, random }, options);
		const received = await receiving;
		// allowed (cast): the only factory is QEMU's
		return { result, target: received.outcome === "running" ? stage.keep(received.guest as QemuGuest) : undefined };
	};

	test("standbys, and targets of a move that fails, leave the source its port; a target that runs has it", async () => {
		const { network, port, attach, attached } = openPort();
		const source = await start(attach);
		assert.is(attached(), 1);
		const factory = await QemuGuestFactory.open(platform, { machine, folder, network: attach });
		try {
			await factory.prepareStandbys(2);
			assert.is(attached(), 1, "standbys");
			const cancel = new AbortController();
			const { result: failed } = await moveTo(factory, source, {
				signal: cancel.signal,
				onProgress: ({ phase }) => {
					if (phase === "state") cancel.abort(new RangeError("not today"));
				},
			});
			assert.is(failed.outcome, "kept");
			assert.is(attached(), 1, "a target that has its state, and never ran");
			assert.ok(port.isAttached);
			await nextLine(source, isCount);

			const announced = new Promise<void>((resolve) => {
				network.tap(({ frame }) => {
					if (frame[12] === 0x80 && frame[13] === 0x35) resolve();
				});
			});
			const { result, target } = await moveTo(factory, source);
			assert.is(result.outcome, "moved", result.outcome === "moved" ? "" : result.error.message);
			assert.is(attached(), 2);
			assert.ok(port.isAttached);
			await announced;
			assert.is(network.portOf(ADDRESS), port);
			await nextLine(target!, isCount);
		} finally {
			await factory.close();
		}
	});

	test("of clones with one port the second is refused, and nothing is left; with a port each they all run", async () => {
		const { network, attach } = openPort();
		const source = await start(attach);
		const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
		const { snapshot } = await save({ guest: source, store, clock });
		await source.discard();
		const opened = await store.open(snapshot.id);
		const one = await QemuGuestFactory.open(platform, { machine, folder, network: attach });
		const refused = await rejection(restoreClones({ snapshot: opened, factories: [one], clock, random }, 2, POLICY));
		assert.match(refused.message, /another machine runs with the same network/);
		assert.equal(await platform.files.names(folder), []);

		const ports = [network.addPort("first"), network.addPort("second")];
		let next = 0;
		const networks = () => ports[next++]!.attach;
		const each = await QemuGuestFactory.open(platform, { machine, folder, networks });
		const clones = await restoreClones({ snapshot: opened, factories: [each], clock, random }, 2, POLICY);
		for (const { guest } of clones) stage.keep(guest);
		assert.is(next, 2);
		for (const port of ports) assert.ok(port.isAttached, port.name);
		// allowed (cast): the only factory is QEMU's
		await Promise.all(clones.map(({ guest }) => nextLine(guest as QemuGuest, isCount)));
	});

	test("a machine that was refused a port can run as soon as the one that has it is gone", async () => {
		const { port, attach } = openPort();
		const source = await start(attach);
		const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
		const { snapshot } = await save({ guest: source, store, clock });
		const factory = await QemuGuestFactory.open(platform, { machine, folder, network: attach });
		const services = { snapshot: await store.open(snapshot.id), factories: [factory], clock, random };
		const [clone] = await restoreClones(services, 1, { ...POLICY, stayPaused: true });
		// allowed (cast): the only factory is QEMU's
		const guest = stage.keep(clone!.guest as QemuGuest);
		assert.is((await rejection(guest.resume())).code, "network-taken");
		assert.ok(!guest.isRunning && port.isAttached);
		await nextLine(source, isCount);
		await source.discard();
		await guest.resume();
		await nextLine(guest, isCount);
		assert.ok(port.isAttached);
	});
} else
	test("there is no QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
