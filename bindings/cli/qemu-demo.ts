/**
 * `pageferry demo --guest qemu`: a Linux under QEMU is moved, while its programs work, from one process of ours into another,
 * each with a QEMU of its own. What its programs write on the console, before the move and after it, must go on without a gap.
 *
 *   source boots, target stands by ─▶ programs work ─▶ move ─▶ they work on ─▶ check
 */
import { qemuVersion, sweepInstances } from "../guests/qemu/index.ts";
import { DEFAULT_EXECUTABLE } from "../guests/qemu/qemu-host.ts";
import type { Platform } from "../ports/platform.ts";
import { hostCommand } from "./executables.ts";
import { programsHaveWritten } from "./linux-console.ts";
import {
	type MachineDemoResult,
	type MachineDemoServices,
	MissingLinuxError,
	machineResult,
	patiently,
} from "./machine-demo.ts";
import type { MachineDemoOptions } from "./machine-options.ts";
import { MachineProcess } from "./machine-process.ts";
import { QEMU_ASSETS, type QemuHostNews } from "./qemu-host.ts";

/** Runs it. @throws {MissingLinuxError}, {QemuError} `not-installed`, {HostEndedError}, the signal's reason */
export async function runQemuDemo(
	options: MachineDemoOptions,
	services: MachineDemoServices,
): Promise<MachineDemoResult> {
	const { platform, display, dist } = services;
	await checkMachine(platform);
	const onNews = (news: QemuHostNews): void => void (news.news === "progress" && display.progress(news.progress));
	const open: MachineProcess[] = [];
	const start = async (role: "source" | "target", runtime: MachineDemoOptions["to"]): Promise<MachineProcess> => {
		const process = await MachineProcess.start({ platform, role, onNews }, hostCommand(runtime, dist, "qemu-host"));
		open.push(process);
		return process;
	};
	try {
		const source = await start("source", options.from);
		return await move(options, services, { source, target: await start("target", options.to) });
	} finally {
		await Promise.all(open.map((process) => process.stop()));
		// A process that had to be killed could not clear up.
		const left = await sweepInstances(platform.files);
		if (left > 0) display.step("command", `cleared away what ${left} killed processes had left`);
	}
}

async function checkMachine(platform: Platform): Promise<void> {
	for (const path of Object.values(QEMU_ASSETS)) {
		const [, folder = "", name = ""] = /^(.*)\/(.*)$/.exec(path) ?? [];
		if (!(await platform.files.names(folder)).includes(name))
			throw new MissingLinuxError(`${path} is missing: \`npm run guests\` prepares the Linux (root on Debian)`);
	}
	await qemuVersion(platform, DEFAULT_EXECUTABLE);
}

async function move(
	options: MachineDemoOptions,
	{ platform, display, signal }: MachineDemoServices,
	{ source, target }: { readonly source: MachineProcess; readonly target: MachineProcess },
): Promise<MachineDemoResult> {
	const begin = async (name: string, process: MachineProcess, order: "boot" | "stand-by"): Promise<void> => {
		const runtime = await process.connect(signal);
		await process.order({ order });
		display.step(name, `${runtime}, process ${process.pid}: ${(await process.news("ready", signal)).what}`);
	};
	await Promise.all([begin("source", source, "boot"), begin("target", target, "stand-by")]);
	const haveWritten = (process: MachineProcess): Promise<void> =>
		patiently(platform, signal, () => {
			source.throwIfFailed();
			target.throwIfFailed();
			return programsHaveWritten(process.text);
		});
	await haveWritten(source);
	const { technique, verification, bandwidthBytesPerMs } = options;
	const rate = bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs };
	await source.order({ order: "move", target: target.address, technique, verification, ...rate });
	const { outcome, metrics, failure } = await source.news("move", signal);
	display.progressEnd();
	if (outcome === "moved") await haveWritten(target);
	else display.step("source", `the guest was ${outcome}: ${failure}`);
	return machineResult({ outcome, metrics }, { before: source.text, after: target.text });
}
