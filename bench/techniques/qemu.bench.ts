// A Linux of 128 MB under QEMU that counts: the downtime of pre-copy and the pause of live increments, beside their limits, and beside
// QEMU's own migration of the same guest in the same run, in turns. QEMU's figure is its own account of its downtime; ours
// runs from the pause to the target's word that it runs.
import { type QemuGuest, QemuGuestFactory, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { preCopy } from "../../bindings/migration/pre-copy.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { isUp, linuxMachine, whyNoLinux } from "../../tests/qemu/linux.ts";
import { nextLine, whyNoQemu } from "../../tests/qemu/stage.ts";
import type { BenchOptions, Row } from "../row.ts";
import { median } from "./ferry.ts";

export const title = "QEMU guests";

const platform = nodePlatform();
const { clock, random, files } = platform;
const FOLDER = `/dev/shm/pageferry-bench-${files.pid}`;
const { mac: _, ...machine } = linuxMachine(1);
/** How long the guest works between two rounds, in ms. */
const WORK_MS = 100;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(files));
	if (missing !== undefined) return [{ ...plain(`not measured: ${missing}`, 0), unit: "" }];
	const rounds = smoke ? 1 : 21;
	try {
		return [...(await withGuest((guest) => increments(guest, rounds))), ...(await moves(rounds))];
	} finally {
		await files.removeTree(FOLDER);
	}
}

/** A Linux that counts: the load of every figure here. */
async function startGuest(): Promise<QemuGuest> {
	const guest = await startQemuGuest(platform, { machine, folder: FOLDER, booted: isUp });
	try {
		const counts = nextLine(guest, (line) => /count \d+$/.test(line));
		await guest.console.write("counter 20 &\n");
		await counts;
		return guest;
	} catch (error) {
		await guest.discard();
		throw error;
	}
}

async function withGuest<T>(work: (guest: QemuGuest) => Promise<T>): Promise<T> {
	const guest = await startGuest();
	try {
		return await work(guest);
	} finally {
		await guest.discard();
	}
}

/** The pause of live increments of a series. */
async function increments(guest: QemuGuest, rounds: number): Promise<Row[]> {
	const store = new SnapshotStore(new MemoryStore(), { clock, random });
	const series = await SnapshotSeries.open({ guest, store, clock });
	await series.liveSave();
	const pauses = { transport: [] as number[], full: [] as number[] };
	for (let round = 0; round < rounds; round++)
		for (const verification of ["transport", "full"] as const) {
			await clock.sleep(WORK_MS);
			pauses[verification].push((await series.liveSave({ verification })).metrics.downtimeMs);
		}
	await series.close();
	return [
		limited("live increment: pause, transport", pauses.transport, 20),
		plain("live increment: worst pause, transport", Math.max(...pauses.transport)),
		plain("live increment: pause, full", median(pauses.full)),
	];
}

/** Moves a guest to and fro, and once a round as QEMU does it. */
async function moves(rounds: number): Promise<Row[]> {
	const factory = await QemuGuestFactory.open(platform, { machine, folder: FOLDER });
	const downtimes = { transport: [] as number[], full: [] as number[], qemu: [] as number[] };
	let guest: QemuGuest | undefined;
	try {
		for (let round = 0; round < rounds; round++) {
			// What QEMU has moved past our ports is known to its two ends only: each round begins with a new guest.
			guest = await startGuest();
			for (const verification of ["transport", "full"] as const) {
				await clock.sleep(WORK_MS);
				await factory.prepareStandbys(1);
				const [near, far] = openLinkPair();
				const receiving = receiveGuest({ link: far, factories: [factory], clock });
				const result = await preCopy({ guest, link: near, clock, random }, { verification });
				const received = await receiving;
				if (result.outcome !== "moved" || received.outcome !== "running")
					throw new Error(`the move ended as ${result.outcome}`);
				guest = received.guest as QemuGuest;
				downtimes[verification].push(result.metrics.downtimeMs ?? Number.NaN);
			}
			await clock.sleep(WORK_MS);
			downtimes.qemu.push(await qemusOwn(guest, factory));
			await guest.discard();
		}
	} finally {
		await guest?.discard();
		await factory.close();
	}
	const { transport, full, qemu } = downtimes;
	const beside = (name: string, ours: readonly number[]): Row => ({
		...{ name, value: median([...ours]), unit: "ms", peer: "QEMU's own migration", peerValue: median([...qemu]) },
		ratio: median(ours.map((one, at) => qemu[at]! / one)),
	});
	return [
		limited("pre-copy: downtime, transport", transport, 25),
		plain("pre-copy: worst downtime, transport", Math.max(...transport)),
		beside("pre-copy: downtime, transport", transport),
		beside("pre-copy: downtime, full", full),
	];
}

/** QEMU's own pre-copy over a unix-domain socket, as fast as it goes, with our default for its downtime limit. */
async function qemusOwn(guest: QemuGuest, factory: QemuGuestFactory): Promise<number> {
	await factory.prepareStandbys(1);
	const { guest: target } = await factory.setUp(guest.state.layout(), new Map());
	try {
		return await migrate(guest, target);
	} finally {
		await target.discard();
	}
}

/** @returns its downtime, in ms */
async function migrate(guest: QemuGuest, target: QemuGuest): Promise<number> {
	const uri = `unix:${FOLDER}/own.sock`;
	const off = { capabilities: [{ capability: "x-ignore-shared", state: false }] };
	for (const side of [guest, target]) await side.execute("migrate-set-capabilities", off);
	await guest.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40, "downtime-limit": 300 });
	await target.execute("migrate-incoming", { uri });
	const ended = new Promise<void>((resolve, reject) => {
		guest.onEvent((name, data) => {
			if (name !== "MIGRATION" || typeof data !== "object" || data === null || !("status" in data)) return;
			if (data.status === "completed") resolve();
			if (data.status === "failed") reject(new Error("QEMU's own migration failed"));
		});
	});
	await guest.execute("migrate", { uri });
	await ended;
	const report = await guest.execute("query-migrate");
	if (typeof report !== "object" || report === null || !("downtime" in report)) throw new Error("no downtime reported");
	return Number(report.downtime);
}

function limited(name: string, values: readonly number[], limitMs: number): Row {
	const value = median([...values]);
	return { name, value, unit: "ms", peer: "limit", peerValue: limitMs, ratio: limitMs / value, goal: 1 };
}

function plain(name: string, value: number): Row {
	return { name, value, unit: "ms", peer: null, peerValue: null, ratio: null };
}
