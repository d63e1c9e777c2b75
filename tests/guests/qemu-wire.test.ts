// Real clients of a Linux under QEMU, whose connections end in a wire: they last when the Linux moves to another process and the
// process that it left is killed; and the Linux lasts when the wire is.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sweepInstances } from "../../bindings/guests/qemu/index.ts";
import { stopWire, wireStatus } from "../../bindings/network/wire-client.ts";
import { sweepWires } from "../../bindings/network/wire-place.ts";
import { freePorts } from "../qemu/free-ports.ts";
import { addressOf, whyNoLinux } from "../qemu/linux.ts";
import { openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";
import { Client, machinesAt, Program, settled, whyNoPasst } from "../qemu/wire-place.ts";

const test = suite("qemu guest: at a wire");
const { platform } = await openPlatform();
const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder } = stage;
	const place = { name: "lab", folder };
	const programs = new Set<Program>();
	const start = async (name: string, ...args: readonly string[]): Promise<Program> => {
		const program = await Program.start(platform, name, ...args);
		programs.add(program);
		return program;
	};
	test.before(() => platform.files.makePrivateFolder(folder));
	test.after.each(async () => {
		for (const program of programs) await program.kill();
		programs.clear();
		await sweepInstances(platform.files, folder);
		await sweepWires(platform, folder);
		assert.equal(await platform.files.names(folder), [], "nothing is left");
	});
	test.after(() => stage.close());

	for (const kind of ["user", "passt"]) {
		const whyNot = kind === "passt" ? await whyNoPasst(platform) : undefined;
		if (whyNot !== undefined) {
			test(`by ${kind}`, () => console.log(`skipped: clients by passt: ${whyNot}`));
			continue;
		}

		test(`by ${kind}: a client's connection outlives the process that its Linux has left`, async () => {
			const [first, second] = await freePorts(platform, 2);
			const forwards = [`${first}:9000`, `${second}:9001`];
			const wire = await start("wire-process", "lab", folder, kind, ...forwards);
			await wire.says("pid");
			const source = await start("wire-host", "lab", folder, "host-1");
			const { address } = await source.says("news", "ready");
			const client = await Client.connect(first!);
			await client.asks(20);
			assert.equal(machinesAt(await wireStatus(platform, place), "host-1"), [addressOf(15)]);

			const target = await start("wire-host", "lab", folder, "host-2", JSON.stringify(address));
			await target.says("news", "ready");
			const moved = target.says("news", "running");
			let isMoved = false;
			void moved.then(() => {
				isMoved = true;
			});
			while (!isMoved) await client.asks(1);
			await source.says("news", "moved");
			await source.kill();
			await client.asks(20);
			const after = await settled(platform, place, ({ ports }) => ports.length === 1);
			assert.equal(machinesAt(after, "host-2"), [addressOf(15)], "it has announced itself");
			await client.ends();

			await wire.kill();
			await target.says("news", "lost");
			const again = await start("wire-process", "lab", folder, kind, ...forwards);
			await again.says("pid");
			await target.says("news", "back");
			const other = await Client.connect(second!);
			await other.asks(20);
			await other.ends();
			await stopWire(platform, place);
			assert.is((await again.process.ended).code, 0, "asked to end, it has");
			await target.says("news", "lost");
		});
	}
} else
	test("there is no Linux under QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
